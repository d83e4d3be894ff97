"""Answers in blocks of workers who gave about as many each, so that all workers of a block are gone through at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """W workers with at most n answers each.

    Attributes
    ----------
    workers : shape (W,)
        Their numbers.
    places : slice
        Of n × W places: the first answer of each worker, then the second of each, and so on.
    """

    workers: IntArray
    places: slice

    @property
    def shape(self) -> tuple[int, int]:
        """n and W."""
        return (self.places.stop - self.places.start) // len(self.workers), len(self.workers)


def in_blocks(worker: npt.NDArray[np.integer], most: int) -> tuple[list[Block], IntArray]:
    """Lay out R answers in blocks, which have ``most`` places or one worker each.

    Parameters
    ----------
    worker : shape (R,)
        The worker of each answer.
    most : int
        Places in a block.

    Returns
    -------
    blocks : list of Block
        Of all workers with answers.
    answers : int64, shape (places,)
        The answer in each place, −1 in places that fill up a block: a quarter of its answers at most, and none where
        its workers gave eight answers or fewer.
    """
    counts = np.bincount(worker)
    order = np.argsort(worker, kind="stable")
    first = np.cumsum(counts) - counts
    spare = 2 ** np.maximum(np.ceil(np.log2(counts.clip(1))).astype(np.int64) - 3, 0)
    sizes = -(-counts // spare) * spare
    blocks, found, start = list[Block](), [np.empty(0, dtype=np.int64)], 0
    for size in np.unique(sizes[counts > 0]).tolist():
        of_size = np.flatnonzero(sizes == size)
        at_once = max(1, most // size)
        for at in range(0, len(of_size), at_once):
            workers = of_size[at : at + at_once]
            number = np.arange(size)[:, None]
            here = number < counts[workers]
            places = np.where(here, first[workers] + number, 0)
            found.append(np.where(here, order[places], -1).ravel())
            stop = start + size * len(workers)
            blocks.append(Block(workers, slice(start, stop)))
            start = stop
    return blocks, np.concatenate(found)
