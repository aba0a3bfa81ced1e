"""Suite ``paper``: the 2D model of Lüpke et al. trained here, its table and figures, and the 3D methods beside it."""
