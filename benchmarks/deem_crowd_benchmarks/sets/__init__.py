"""Label sets with gold, on which methods are compared: on disk, drawn from laws, or made on the spot."""
