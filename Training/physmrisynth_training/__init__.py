"""Training and evaluation of the priors: simulator, training loops, suites, release of weights. Not part of the Slicer package."""
