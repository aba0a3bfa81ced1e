"""How the priors are learned and judged: simulator, trainings, evaluation, and the shipping of weights. Not part of the Slicer package."""
