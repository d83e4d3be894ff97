"""The restricted Boltzmann machine: its energy, units and layers, and nothing of its training."""
