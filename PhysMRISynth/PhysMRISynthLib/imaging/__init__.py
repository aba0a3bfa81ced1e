"""Images in and out, their geometry, alignment and masks (SimpleITK)."""
