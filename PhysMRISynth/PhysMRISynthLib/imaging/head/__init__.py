"""A head in its image: alignment, atlas, masks, and how much of what is in it."""
