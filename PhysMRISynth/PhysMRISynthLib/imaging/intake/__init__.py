"""From files and folders to volumes that can be trusted: series, sessions, sidecars, and what was done to the voxels."""
