"""Whether a fit with features keeps what the answers say by themselves."""

from __future__ import annotations

from deem_crowd.estimators.fitted import FittedModel
from deem_crowd.features.beside import AS_IS, Kept
from deem_crowd.selection import candidates

_TIMID, _SURE = (1.0, 16.0), (0.125, 1.0)
"""Powers of the odds that are looked for: of one usual skill or shares of votes, and of one factor."""


def of(model: FittedModel, soft: bool, regional: bool = False) -> Kept:
    """Return whether the posterior of the answers is kept, since tables of workers do not say what it says.

    Tables that are learned together with a classifier know nothing of who answered, of what sources have in common, of
    which of them repeat others, or of an order of the classes. Nor are scores of which tables show no label votes with
    errors: tables that begin with them follow the features wherever these lead. Beside a classifier, what one usual
    skill or one factor says has no scale of its own.

    Parameters
    ----------
    model : FittedModel
        Of the answers alone.
    soft : bool
        Whether the answers are scores.
    regional : bool
        Whether workers have a table in each of several regions: sources that are good at the same things look like ones
        that repeat each other, and such tables may tell them apart.
    """
    chosen = {one.name for one in model.candidates if one.weight > 0}
    common = candidates.COMMON in chosen
    grouped = any(candidates.GROUPED in one.why for one in model.candidates)
    why = None
    if grouped or candidates.COPIES in chosen:
        why = "sources repeat others, and count less"
    elif candidates.FIELDS in chosen and not regional:
        why = "sources know different fields"
    elif chosen & {candidates.PRESENCE, candidates.FACTOR} or (common and soft):
        why = "the answers show a label that tables of workers do not"
    elif candidates.ORDERED in chosen:
        why = "classes are ordered, and tables that are learned with features do not know the order"
    correlation = 0.0 if model.pool is None else model.pool.correlation
    powers = AS_IS
    if common or candidates.FACTOR in chosen:
        powers = _TIMID if common else _SURE
    by_region = regional and not grouped and candidates.COPIES in chosen
    return Kept(why, correlation, powers, by_region)
