"""Scanner headers and sidecars of an image: text and numbers, no voxels."""
