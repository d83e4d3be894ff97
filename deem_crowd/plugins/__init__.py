"""Plugins: the hooks they answer, how they are found and listed, and what their results have to be."""
