"""What scanners and sidecars say about an image: words and numbers, no voxels."""
