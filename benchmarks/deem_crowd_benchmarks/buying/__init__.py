"""Whom and what to ask next, and which answers to doubt: what such choices are worth."""
