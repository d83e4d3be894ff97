"""What it is worth to choose whom and what to ask next, and which answers to doubt."""
