"""Answers sent to the device batch by batch: the sums of all at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from deem_crowd_benchmarks.sets import laws

from deem_crowd import Answers
from deem_crowd.estimators import fit
from deem_crowd.estimators.aggregator import DEEMAggregator
from deem_crowd.estimators.settings import recipe
from deem_crowd.model import design as model_design
from deem_crowd.model.design import DesignMatrix, OffloadedDesign

CPU = torch.device("cpu")


def kinds() -> dict[str, Answers]:
    hard = Answers.from_frame(laws.heavy_tail(0, 300).answers)
    rng = np.random.default_rng(0)
    soft = rng.dirichlet(np.ones(3), size=(40, 6)).transpose(0, 2, 1)
    soft[::3, :, 1] = np.nan
    long = Answers.from_dense(rng.integers(3, size=(3, 5000)), 3)  # rows that are summed in pieces
    empty = Answers.from_dense(np.zeros((0, 3), dtype=int), 2)
    return {"hard": hard, "soft": Answers.from_soft(soft), "long": long, "empty": empty}


@pytest.mark.parametrize("name", ["hard", "soft", "long", "empty"])
@pytest.mark.parametrize("batch", [1, 7, 100, 10**6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_batches_are_no_difference(name, batch, dtype) -> None:
    answers = kinds()[name]
    whole = DesignMatrix(answers, CPU, dtype)
    parts = OffloadedDesign(answers, CPU, dtype, batch=batch)
    generator = torch.Generator().manual_seed(0)
    k = answers.n_classes
    table = torch.randn((answers.n_workers, k, 4), generator=generator, dtype=torch.float64)
    posterior = torch.rand((answers.n_tasks, 4), generator=generator, dtype=torch.float64).to(dtype)
    close = {"atol": 1e-9 if dtype == torch.float64 else 2e-3, "rtol": 1e-4}
    torch.testing.assert_close(parts.logits(table), whole.logits(table), **close)
    torch.testing.assert_close(
        parts.expected_counts(posterior), whole.expected_counts(posterior), **close
    )
    assert torch.equal(parts.answered, whole.answered)


def test_a_fit_in_batches_is_the_fit(monkeypatch) -> None:
    answers = kinds()["hard"]
    plan = recipe.recipe(DEEMAggregator().get_params(), 500, None)
    _, whole = fit.fit_answers(answers, plan)
    monkeypatch.setattr(
        fit,
        "make_design",
        lambda *a, **k: OffloadedDesign(a[0], CPU, torch.float64, batch=50),
    )
    _, parts = fit.fit_answers(answers, plan)
    np.testing.assert_allclose(parts, whole, atol=1e-6)


def test_what_does_not_fit_on_a_gpu_is_streamed(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10**9, 10**9))
    assert model_design._fits(torch.device("cuda"), 10**7, 10**8)
    assert not model_design._fits(torch.device("cuda"), 10**8, 10**8)
