"""Methods by name, with parameters."""

from __future__ import annotations

import pandas as pd
import pytest
from deem_crowd_benchmarks.running import methods
from deem_crowd_benchmarks.sets.ensembles import out_of_fold

from deem_crowd.exceptions import ParameterError


def test_a_method_that_takes_probabilities_gets_them() -> None:
    from deem_crowd_benchmarks.running.evaluation import evaluate

    seen = {}

    class Looks:
        takes_soft = True

        def fit_predict(self, data):
            seen["data"] = data
            return pd.Series(0, index=data.tasks)

    data = out_of_fold("wine", 0, soft=True)
    evaluate(data, methods.Method("looks", Looks))
    assert seen["data"].is_soft


def test_methods_as_text() -> None:
    found = methods.methods(
        "ds, deem(hidden_dim=2, sampler=gibbs) , two=deem(preprocessing_layer_widths=[3, 2])"
    )
    assert [(m.label, m.make, dict(m.parameters)) for m in found] == [
        ("ds", "ds", {}),
        ("deem(hidden_dim=2,sampler=gibbs)", "deem", {"hidden_dim": 2, "sampler": "gibbs"}),
        ("two", "deem", {"preprocessing_layer_widths": [3, 2]}),
    ]
    assert found[1].create(3).random_state == 3
    assert found[0].seed_parameter is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dss", "did you mean 'ds'"),
        ("ds, ds", "1 label stands for several methods .'ds'"),
        ("deem(hidden_dim)", "is no PARAMETER=VALUE"),
        ("deem(hidden_dim=2", "brackets that do not match"),
        ("a b", "is no NAME"),
        ("", "name one method"),
    ],
)
def test_methods_that_cannot_be_read(text, words) -> None:
    with pytest.raises(ParameterError, match=words):
        methods.methods(text)
