"""Groups of whole heads, read from folders or sampled, beside the heads of people: part of the suite ``samples``."""
