"""Whether a fit with features keeps the posterior of the answers alone."""

from __future__ import annotations

from math import inf

from deem_crowd.estimators.fitted import FittedModel
from deem_crowd.features.beside import AS_IS, Kept
from deem_crowd.selection import candidates

_TIMID, _SURE = (1.0, 16.0), (0.125, 1.0)
"""Ranges of the power of the odds: for one usual skill or shares of votes, which are timid, and for one factor, which
is sure of itself. One factor beside the mean of probabilities may be either."""

_NO_ORDER = "tables learned with features do not know the order"


def of(model: FittedModel, soft: bool, regional: bool = False) -> Kept:
    """Return whether the posterior of the answers is kept, because tables of workers cannot express it.

    Tables that are learned together with a classifier know nothing of who answered, of what sources have in common, of
    which sources repeat others, or of an order of the classes. Scores for which tables show no label are not votes with
    errors either: tables that begin with them follow the features wherever these lead. Odds that come from one usual
    skill or from one factor have no scale of their own beside a classifier.

    Parameters
    ----------
    model : FittedModel
        Of the answers alone.
    soft : bool
        Whether the answers are scores.
    regional : bool
        Whether workers have a table in each of several regions. Sources that are good at the same things look like
        sources that repeat one another, and such tables may tell the two apart.
    """
    chosen = {one.name: one.score for one in model.candidates if one.weight > 0}
    common = candidates.COMMON in chosen
    grouped = any(candidates.GROUPED in one.why for one in model.candidates)
    why = None
    if grouped or candidates.COPIES in chosen:
        why = "sources repeat others, and count less"
    elif candidates.FIELDS in chosen and not regional:
        why = "sources know different fields"
    elif candidates.FACTOR in chosen:
        why = "soft answers lie between the classes, of which tables of workers see little"
    elif candidates.PRESENCE in chosen or (common and soft):
        why = "the answers show a label that tables of workers do not"
    elif candidates.ORDERED in chosen:
        why = f"classes are ordered, and {_NO_ORDER}"
    # where plain tables have the larger bound, workers err otherwise than along the order
    elif chosen.get(candidates.IN_ORDER, -inf) > chosen.get(candidates.TABLES, -inf):
        why = f"the answers put the classes in order, and {_NO_ORDER}"
    correlation = 0.0 if model.pool is None else model.pool.correlation
    powers = AS_IS
    if common:
        powers = _TIMID
    elif candidates.FACTOR in chosen:
        beside = model.pool is not None and model.pool.floor > 0
        powers = (_SURE[0], _TIMID[1]) if beside else _SURE
    by_region = regional and not grouped and candidates.COPIES in chosen
    return Kept(why, correlation, powers, by_region)
