"""Simulated heads with known tissue maps, and simulated scans of them."""
