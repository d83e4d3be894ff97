"""``torchrun … -m deem_crowd.distributed``: see :mod:`deem_crowd.distributed.command`."""

import typer

from deem_crowd.distributed.command import main

if __name__ == "__main__":
    typer.run(main)
