"""The head in an image: alignment, atlas, masks, volumes."""
