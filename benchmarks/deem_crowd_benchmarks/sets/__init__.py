"""What is compared on: label sets with gold, on disk, drawn from laws, or made on the spot."""
