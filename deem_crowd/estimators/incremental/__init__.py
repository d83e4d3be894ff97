"""``partial_fit``: what is remembered between calls, and how a model grows by a few answers."""
