"""The life of an object: any sequence of fits, failures, interrupts, predictions, saves and loads."""

from __future__ import annotations

import copy
import pickle
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wild
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from deem_crowd import DEEMAggregator
from deem_crowd.exceptions import DeemCrowdError, ParameterError
from deem_crowd.model.design import DesignMatrix

SHOWN = ("labels_", "probas_", "skills_", "priors_", "loss_history_")


class Life(RuleBasedStateMachine):
    """One aggregator, beside it what is known of it: the probabilities it has to have, and what it remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.model = DEEMAggregator(progress=False)
        self.expected: pd.DataFrame | None = None
        self.remembers = False
        self.saved: pd.DataFrame | None = None

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def done(self, remembers: bool) -> None:
        self.expected, self.remembers = self.model.probas_.copy(), remembers

    @rule(frame=wild.crowds(), auto=st.sampled_from([None, False]))
    def fit(self, frame, auto) -> None:
        self.model.set_params(auto_hyperparameters=auto)
        assert wild.quietly(lambda: self.model.fit(frame)) is self.model
        fresh = DEEMAggregator(progress=False, auto_hyperparameters=auto)
        wild.quietly(lambda: fresh.fit(frame))
        pd.testing.assert_frame_equal(self.model.probas_, fresh.probas_, check_exact=True)
        self.done(remembers=False)

    @rule(frame=wild.crowds())
    def partial_fit(self, frame) -> None:
        if self.expected is not None and not self.remembers:
            with pytest.raises(ParameterError):
                self.model.partial_fit(frame)
            return
        known = set() if self.expected is None else set(self.expected.index)
        assert wild.quietly(lambda: self.model.partial_fit(frame)) is self.model
        assert set(self.model.labels_.index) == known | set(frame["task"])
        self.done(remembers=True)

    @rule(frame=wild.frames())
    def fit_anything(self, frame) -> None:
        if not isinstance(wild.quietly(lambda: self.model.fit(frame)), DeemCrowdError):
            self.done(remembers=False)

    @rule(frame=wild.crowds(), calls=st.integers(0, 12), more=st.booleans())
    def interrupted(self, frame, calls, more) -> None:
        """Ctrl-C in the middle of a pass; perhaps training is over by then."""
        counts, left = DesignMatrix.expected_counts, [calls]

        def counting(design, posterior):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return counts(design, posterior)

        DesignMatrix.expected_counts = counting
        going_on = more and (self.expected is None or self.remembers)
        try:
            wild.quietly(lambda: (self.model.partial_fit if going_on else self.model.fit)(frame))
            self.done(remembers=going_on)
        except KeyboardInterrupt:
            pass
        finally:
            DesignMatrix.expected_counts = counts

    @rule(frame=wild.frames())
    def predict(self, frame) -> None:
        if self.expected is None:
            with pytest.raises(NotFittedError):
                self.model.predict(frame)
            return
        wild.quietly(lambda: self.model.predict_proba(frame))

    @precondition(lambda self: self.expected is not None)
    @rule()
    def save(self) -> None:
        if not isinstance(wild.quietly(lambda: self.model.save(self.folder / "m")), DeemCrowdError):
            self.saved = self.expected.copy()

    @precondition(lambda self: self.saved is not None)
    @rule(into=st.booleans())
    def load(self, into) -> None:
        if into:
            self.model.load(self.folder / "m")
        else:
            self.model = DEEMAggregator.load(self.folder / "m")
        pd.testing.assert_frame_equal(self.model.probas_, self.saved, check_exact=True)
        self.model.progress = False
        self.done(remembers=False)

    @rule(how=st.sampled_from([copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]))
    def copied(self, how) -> None:
        self.model = how(self.model)

    @rule()
    def cloned(self) -> None:
        other = clone(self.model)
        assert other.get_params() == self.model.get_params()
        assert not hasattr(other, "labels_")

    @rule()
    def refused_parameter(self) -> None:
        with pytest.raises(ParameterError):
            self.model.set_params(penlty=1)

    @invariant()
    def is_what_it_was(self) -> None:
        if self.expected is None:
            assert not any(name in vars(self.model) for name in SHOWN)
            return
        pd.testing.assert_frame_equal(self.model.probas_, self.expected, check_exact=True)
        wild.check_aggregator(self.model)
        assert ("_memory" in vars(self.model)) == self.remembers
        assert np.isfinite(self.model.skill_intervals_.to_numpy()).all()


Life.TestCase.settings = wild.runs(15, stateful_step_count=12)
TestLife = Life.TestCase
