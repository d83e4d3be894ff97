"""Answers as they were given, and known labels."""
