"""Methods of other packages, as aggregators."""
