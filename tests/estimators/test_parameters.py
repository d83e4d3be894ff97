"""Parameters are documented, alike in both classes, and named where they have no part in a fit or another name."""

from __future__ import annotations

import functools
import inspect
import pydoc
import re
import warnings

import pandas as pd
import pytest
from six_workers import FRAME, X, Y

from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.exceptions import ParameterError, ParameterWarning


def test_what_is_called_otherwise_here_is_said() -> None:
    with pytest.raises(ParameterError, match=r"no parameter 'verbose': progress=True"):
        DEEM().fit(X, verbose=True)
    with pytest.raises(ParameterError, match=r"no parameter 'val_predictions': early_stopping"):
        DEEM().fit(X, val_predictions=X)


@pytest.mark.parametrize("chosen", [True, False])
def test_parameters_without_a_part_in_the_fit_are_named(chosen) -> None:
    with pytest.warns(
        ParameterWarning, match=r"cd_k=3, learning_rate=0.1, batch_size=7 have no part"
    ):
        DEEM(auto_hyperparameters=chosen, batch_size=7, learning_rate=0.1, cd_k=3).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ParameterWarning)
        DEEM(auto_hyperparameters=chosen).fit(X)
        DEEM(sampler="gibbs", hidden_dim=2, cd_k=2, epochs=1).fit(X)


def test_parameters_without_a_part_are_named_once_and_by_fit_alone() -> None:
    model = DEEMAggregator(cd_k=3, progress=False)
    with pytest.warns(ParameterWarning, match="cd_k=3 have no part") as given:
        model.fit(FRAME)
    assert len([one for one in given if issubclass(one.category, ParameterWarning)]) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", ParameterWarning)
        model.predict(FRAME)


def test_former_names_of_gold_and_y_work_with_a_warning() -> None:
    known = {0: "yes", 1: "no", 2: "yes"}
    plain = functools.partial(DEEMAggregator, auto_hyperparameters=False, progress=False)
    expected = plain().fit(FRAME, gold=known).probas_
    for call in (
        lambda: plain().fit(FRAME, true_labels=known).probas_,
        lambda: plain().partial_fit(FRAME, true_labels=known).probas_,
        lambda: plain().fit_predict_proba(FRAME, true_labels=known),
    ):
        with pytest.warns(FutureWarning, match="true_labels= is called gold= now") as caught:
            pd.testing.assert_frame_equal(call(), expected)
        assert caught[0].filename == __file__
    with pytest.raises(ParameterError, match="true_labels is the former name of gold"):
        DEEMAggregator(progress=False).fit(FRAME, known, true_labels=known)
    with pytest.warns(FutureWarning, match="labels= is called y= now"):
        watched = DEEM().fit(X, labels=Y)
    assert watched.history_["accuracy"] == [watched.score(X, Y)]
    with pytest.warns(FutureWarning, match="true_labels= is called y= now"):
        assert watched.score(X, true_labels=Y) == watched.score(X, Y)


@pytest.mark.parametrize("cls", [DEEM, DEEMAggregator])
def test_help_documents_every_parameter_with_its_default(cls) -> None:
    text = pydoc.plain(pydoc.render_doc(cls))
    section = text[text.index("Parameters\n |  ----------") :]
    for name, parameter in inspect.signature(cls).parameters.items():
        entry = re.search(rf"^ \|  {name} : .*, default (.*)\n \|      \S", section, re.M)
        assert entry is not None, name
        assert entry[1] == repr(parameter.default)


def test_both_classes_share_what_they_both_have() -> None:
    ours, theirs = (inspect.signature(cls).parameters for cls in (DEEM, DEEMAggregator))
    shared = set(ours) & set(theirs)
    assert set(ours) - shared == {"n_classes", "epochs", "model_dir", "label_names"}
    assert set(theirs) - shared == {"n_iter", "missing", "duplicates", "unknown_workers"}
    for name in shared:
        assert ours[name].default == theirs[name].default
        assert ours[name].annotation == theirs[name].annotation
