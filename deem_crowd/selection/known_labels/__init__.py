"""What known labels are worth: they choose between readings of the answers, and correct one of them."""
