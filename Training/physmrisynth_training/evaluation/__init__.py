"""How good the maps and the images rendered from them are, always beside a baseline: ``physmrisynth evaluate``."""
