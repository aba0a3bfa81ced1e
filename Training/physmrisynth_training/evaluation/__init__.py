"""Evaluation of the maps and of images rendered from them, always with a baseline: ``physmrisynth evaluate``."""
