"""Whole BIDS data sets, visit by visit, in processes of their own."""
