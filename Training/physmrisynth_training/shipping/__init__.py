"""From checkpoints and label maps to the package's resources: weights, atlas, calibration, cards."""
