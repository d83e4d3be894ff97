"""Which parts of the default model there are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Parts:
    """Which parts of the default there are; the ablations leave one out at a time.

    Attributes
    ----------
    path : bool
        Tables are the mean over EM's path, instead of its end.
    structured : bool
        One accuracy a worker is a voice (for ordered classes: bias and noise).
    hierarchy : bool
        Tables drawn around a worker's own accuracy may take the place of tables.
    habits : bool
        So may tables drawn around what a worker knows and its habit.
    in_order : bool
        So may tables drawn around a worker's bias and noise, where the answers put the classes in order.
    averaged : bool
        Averaged skills may take the place of tables, where workers gave few answers each to tasks of two classes.
    subtypes : bool
        Tables for easy and hard tasks may be a voice.
    votes : bool
        The votes are a voice.
    floor : bool
        The votes count at least as far as answers are correlated, or a tenth where that is not asked.
    dependence : bool
        Pairs of sources are asked whether they repeat one another.
    fields : bool
        Pairs of sources are asked whether they know different fields.
    presence : bool
        Where the answers show no label, who gave them may.
    weights : bool
        Voices count by how far they agree, instead of evenly.
    correlated : bool
        Odds shrink, and votes count more, where answers to a task are correlated.
    """

    path: bool = True
    structured: bool = True
    hierarchy: bool = True
    habits: bool = True
    in_order: bool = True
    averaged: bool = True
    subtypes: bool = True
    votes: bool = True
    floor: bool = True
    dependence: bool = True
    fields: bool = True
    presence: bool = True
    weights: bool = True
    correlated: bool = True
