"""Nodes in, nodes out: voxels and geometry, headers, tissue maps as nodes with units and provenance, colours, views and tables."""
