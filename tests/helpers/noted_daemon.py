"""Spark's daemon (``spark.python.daemon.module``), which forks Python processes, and notes which process it is."""

import os
from pathlib import Path

import pyspark.daemon

if __name__ == "__main__":
    Path(os.environ["NOTED_DAEMON"]).write_text(str(os.getpid()))
    pyspark.daemon.manager()
