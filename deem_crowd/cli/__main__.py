"""``python -m deem_crowd.cli``."""

from deem_crowd.cli.app import main

main()
