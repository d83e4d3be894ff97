"""Sources that share errors: copies, families and groups of them, and sources that know different fields."""
