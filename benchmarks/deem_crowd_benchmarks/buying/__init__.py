"""Simulations of buying answers, and how well wrong answers are found."""
