"""What is learned from label maps: the tissue atlas, and the simulator that makes training and test heads."""
