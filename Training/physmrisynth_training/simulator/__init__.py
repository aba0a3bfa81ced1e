"""Simulated heads of known tissue maps, and what scanners would make of them."""
