"""The embedded example, the small head, and the demonstration."""
