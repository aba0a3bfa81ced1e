"""From files and folders to validated volumes: series, sessions, sidecars, and earlier processing of the voxels."""
