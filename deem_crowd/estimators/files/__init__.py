"""``save`` and ``load``: fitted objects to model files, and back."""
