"""One fit by several processes, on one machine or many, and inside the engines that hold the answers.

:func:`fit` needs nothing but an initialised process group of torch.distributed; :mod:`.spark`, :mod:`.dask` and
:mod:`.ray` take the engine's own frame. ``torchrun -m deem_crowd.distributed`` aggregates parquet files.
"""

from deem_crowd.distributed.group import Notes
from deem_crowd.distributed.shared import SharedFit, fit

__all__ = ["Notes", "SharedFit", "fit"]
