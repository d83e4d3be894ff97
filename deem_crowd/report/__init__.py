"""One HTML page about the answers: what a person asks first, then the details; ``deem-crowd report``."""
