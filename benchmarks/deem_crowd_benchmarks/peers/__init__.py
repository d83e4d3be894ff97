"""Other packages' ways to labels, as aggregators."""
