"""Trainers of the model, one a file."""
