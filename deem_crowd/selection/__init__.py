"""The default model, chosen from the answers."""
