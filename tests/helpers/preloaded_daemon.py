"""Spark's daemon (``spark.python.daemon.module``), which forks Python processes, with what they need loaded once."""

import pyspark.daemon

import deem_crowd.distributed.spark

__all__ = ["deem_crowd"]

if __name__ == "__main__":
    pyspark.daemon.manager()
