"""From checkpoints and label maps to what the package carries: weights, atlas, calibration, cards."""
