"""The shell: ``deem-crowd``, or ``python -m deem_crowd.cli``."""

from deem_crowd.cli.app import main

__all__ = ["main"]
