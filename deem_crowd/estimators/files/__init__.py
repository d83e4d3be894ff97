"""Fitted objects in model files, and back."""
