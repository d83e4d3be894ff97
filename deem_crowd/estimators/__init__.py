"""The two public classes, DEEM and DEEMAggregator, and what they share."""
