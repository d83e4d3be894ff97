"""Clusterings learned from features: Kingdra, HUME, DEC, and an autoencoder with k-means."""
