"""The panel of the Slicer module: one class per section, driven by the parameter node."""
