"""Trainers of the model; `em.py` has the loop of expectation maximisation, and M-steps stand in files of their own."""
