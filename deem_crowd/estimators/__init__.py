"""The two public classes, DEEM and DEEMAggregator, and what they share."""

from deem_crowd.runtime.progress import quiet_in_notebooks

quiet_in_notebooks()  # before crowd-kit is imported
