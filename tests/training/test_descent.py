"""Steps of Adam and SGD are those of torch.optim, without its classes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import python

from deem_crowd.runtime import descent


def parameters(seed: int) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=draw).requires_grad_() for shape in ((3, 2), (4,), ())]


@pytest.mark.parametrize("kind", ["adam", "sgd"])
@given(
    seed=st.integers(0, 1000),
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    rates=st.lists(st.floats(1e-4, 0.5), min_size=1, max_size=6),
    silent=st.integers(0, 5),
)
@settings(max_examples=20, deadline=None)
def test_steps_are_those_of_the_classes(
    kind: str, seed: int, momentum: float, rates: list[float], silent: int
) -> None:
    ours, theirs = parameters(seed), parameters(seed)
    own: descent.Adam | descent.SGD
    usual: torch.optim.Optimizer
    if kind == "adam":
        own = descent.Adam(ours, 0.1, momentum)
        usual = torch.optim.Adam(theirs, lr=0.1, betas=(momentum, 0.999))
    else:
        own = descent.SGD(ours, 0.1, momentum)
        usual = torch.optim.SGD(theirs, lr=0.1, momentum=momentum)
    for step, rate in enumerate(rates):
        own.learning_rate = usual.param_groups[0]["lr"] = rate
        for optimiser, given_ in ((own, ours), (usual, theirs)):
            optimiser.zero_grad()
            heard = given_[1:] if step == silent else given_  # the first one has no gradient then
            sum((one - 0.3).cosh().log().sum() for one in heard).backward()
            optimiser.step()
        for one, other in zip(ours, theirs, strict=True):
            assert torch.equal(one, other)


def test_a_fit_by_samples_does_not_load_the_compiler_of_torch() -> None:
    script = """
        import sys
        import numpy as np
        from deem_crowd import DEEM
        rng = np.random.default_rng(0)
        answers = rng.integers(2, size=(20, 3))
        model = DEEM(sampler="gibbs", auto_hyperparameters=False, epochs=1, random_state=0)
        model.fit(answers)
        print("torch._dynamo" in sys.modules)
    """
    lines = [line[8:] for line in script.splitlines()]
    done = python("-c", "\n".join(lines))
    assert done.stdout.split() == ["False"], done.stderr
