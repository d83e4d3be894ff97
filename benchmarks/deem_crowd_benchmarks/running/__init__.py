"""Runs of methods on label sets, and measures of their labels and probabilities."""
