"""What is done with maps: two visits compared, measured maps imported, a contrast matched, a parameter swept."""
