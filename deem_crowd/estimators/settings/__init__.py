"""Parameters: how they are declared, all that there are, and what they decide together."""
