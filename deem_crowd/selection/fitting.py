"""What the members of the default pool are trained on, and how each is fitted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.expectation import counts_of
from deem_crowd.model.group import ALONE
from deem_crowd.runtime.cached import cached_property
from deem_crowd.runtime.progress import Progress, Report
from deem_crowd.runtime.threads import gathered, helped
from deem_crowd.selection import candidates as rows
from deem_crowd.selection.parts import Parts
from deem_crowd.training import confusion, em, one_coin
from deem_crowd.training.em import Member, WarmStart
from deem_crowd.training.habit_centre import HabitCentre
from deem_crowd.training.hierarchical import (
    AccuracyCentre,
    Centre,
    Hierarchical,
    fit_hierarchical,
)
from deem_crowd.training.ordered_centre import OrderedCentre

Structured = tuple[str, Member]
"""The name of a structured member, and it."""

_FIRST_PASSES = 10
"""Of tables for fields, to see whether sources are experts at all."""


@dataclass
class Training:
    """What all members are trained on."""

    design: DesignMatrix
    start: torch.Tensor
    gold: torch.Tensor | None
    n_passes: int
    progress: Progress | None
    warm_starts: Mapping[str, WarmStart]
    parts: Parts
    ordered: bool
    _easy: Member | None = field(default=None, init=False)

    @cached_property
    def taught(self) -> bool:
        """Whether any label is known."""
        return self.gold is not None and self.design.anywhere(bool((self.gold >= 0).any()))

    @cached_property
    def counts(self) -> torch.Tensor:
        """Those expected of the start, shape (D, K, K)."""
        return counts_of(self.design, self.start)

    def report(self) -> Report | None:
        """Begin a stage of the progress: a member."""
        return None if self.progress is None else self.progress.stage(self.n_passes)

    def tables(self, weight: torch.Tensor | None = None, beat: float | None = None) -> Member:
        """Fit one table a worker; ``beat`` as in :func:`deem_crowd.training.em.climb`."""
        return confusion.fit_confusion(
            self.design, self.start, 1, weight, self.gold, self.n_passes, self.report(), self.parts.path,
            beat, first=self.counts,
        )  # fmt: skip

    def hierarchy(self) -> Hierarchical:
        """Fit tables drawn around each worker's own accuracy."""
        return self._drawn_around(AccuracyCentre(), self.report())

    def by_habit(self, beat: float) -> Hierarchical:
        """Fit tables drawn around what each worker knows and its habit; ``beat`` as in :meth:`tables`."""
        if self.progress is not None:  # a member more
            self.progress.expect(self.progress.total + self.n_passes)
        return self._drawn_around(HabitCentre(self.design.n_classes), self.report(), beat=beat)

    def in_order(self, place: torch.Tensor) -> Hierarchical:
        """Fit tables drawn around each worker's bias and noise; ``place`` has those of the classes, shape (K,)."""
        if self.progress is not None:  # a member more
            self.progress.expect(self.progress.total + self.n_passes)
        return self._drawn_around(OrderedCentre(self.design.n_classes, place), self.report())

    def _drawn_around(
        self,
        centre: Centre,
        report: Report | None,
        weight: torch.Tensor | None = None,
        beat: float | None = None,
    ) -> Hierarchical:
        return fit_hierarchical(
            self.design, self.start, centre, weight, self.gold, self.n_passes, report, self.counts,
            beat,
        )  # fmt: skip

    def structured(self, weight: torch.Tensor | None = None, told: bool = True) -> Structured:
        """Fit one accuracy a worker, or where classes are ordered a bias and a noise; ``told``: to the progress."""
        report = self.report() if told else None
        if self.ordered:
            centre = OrderedCentre(self.design.n_classes)
            return rows.ORDERED, self._drawn_around(centre, report, weight)
        warm_start = self.warm_starts.get(rows.ONE_COIN)
        return rows.ONE_COIN, one_coin.fit_one_coin(
            self.design, self.start, weight, self.gold, self.n_passes, warm_start, report,
            self.counts,
        )  # fmt: skip

    def first_two(
        self, asked: bool, meanwhile: Callable[[], object] | None = None
    ) -> tuple[Hierarchical | None, Structured]:
        """Fit :meth:`hierarchy`, if asked, and :meth:`structured`: at once where a thread helps.

        Neither asks for the other's bound. ``meanwhile`` is called there, too.
        """
        if not asked:
            return None, self.structured()
        if self.design.group is not ALONE or not helped():
            return self.hierarchy(), self.structured()
        _ = self.counts  # both begin there

        def shorter() -> Structured:
            found = self.structured(told=False)
            if meanwhile is not None:
                meanwhile()
            return found

        fits: tuple[Callable[[], Any], ...] = (self.hierarchy, shorter)
        hierarchy, structured = gathered(lambda fit: fit(), fits)
        self.report()
        return hierarchy, structured

    def subtypes(self, beat: float) -> Member:
        """Fit tables for easy and hard tasks; not again where they have beaten a bound already."""
        if self._easy is not None:
            return self._easy
        split = em.margin_start(self.design, self.start)
        member = self.states(split, 2, beat, self.warm_starts.get(rows.SUBTYPES))
        if member.bound > beat:  # else it may have given up early
            self._easy = member
        return member

    def states(
        self, start: torch.Tensor, n_subtypes: int, beat: float, warm_start: WarmStart | None = None
    ) -> Member:
        """Fit tables for each of M states a class from a start, shape (N, K·M)."""
        return confusion.fit_confusion(
            self.design, start, n_subtypes, None, self.gold, self.n_passes, self.report(),
            beat=beat, warm_start=warm_start,
        )  # fmt: skip

    def fields(self, start: torch.Tensor, n_fields: int, beat: float | None) -> Member:
        """Fit tables for each class and field: all the way where a bound has to be beaten, else a few passes only."""
        if beat is None:
            return confusion.fit_confusion(
                self.design, start, n_fields, None, self.gold, min(_FIRST_PASSES, self.n_passes)
            )
        if self.progress is not None:  # a member more
            self.progress.expect(self.progress.total + self.n_passes)
        return self.states(start, n_fields, beat)
