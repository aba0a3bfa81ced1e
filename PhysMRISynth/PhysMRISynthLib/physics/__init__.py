"""Signal equations, protocols and presets, tissue values, noise and fields. NumPy or any array namespace; nothing else."""
