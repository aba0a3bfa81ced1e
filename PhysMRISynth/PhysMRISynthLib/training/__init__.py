"""The simulator of heads and scans, the trainings, the evaluation suites, and the shipping of weights."""
