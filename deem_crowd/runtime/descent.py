"""Steps of Adam and of SGD, by torch's own functions.

The first optimiser of torch.optim in a process loads torch's compiler, which takes seconds and is not used here. The
functions behind torch's classes, which are called here, load nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd


class _Descent:
    """Parameters that follow their gradients.

    Attributes
    ----------
    learning_rate : float
        May be changed between steps.
    """

    def __init__(self, parameters: Iterable[Tensor], learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self._parameters = [one for one in parameters if one.requires_grad]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for one in self._parameters:
            one.grad = None

    def _taught(self) -> tuple[list[int], list[Tensor], list[Tensor]]:
        """Return the numbers of the parameters that have gradients, these parameters, and the gradients."""
        numbers = [i for i, one in enumerate(self._parameters) if one.grad is not None]
        chosen = [self._parameters[i] for i in numbers]
        return numbers, chosen, [one.grad for one in chosen if one.grad is not None]


class Adam(_Descent):
    """Adam (Kingma and Ba, ICLR 2015), as :class:`torch.optim.Adam`.

    Parameters
    ----------
    parameters : iterable of Tensor
    learning_rate : float
    momentum : float
        Decay of the mean gradient; that of the mean square is 0.999.
    """

    def __init__(
        self, parameters: Iterable[Tensor], learning_rate: float, momentum: float = 0.9
    ) -> None:
        super().__init__(parameters, learning_rate)
        self._momentum = momentum
        self._means = [torch.zeros_like(one) for one in self._parameters]
        self._squares = [torch.zeros_like(one) for one in self._parameters]
        self._steps = [torch.zeros(()) for _ in self._parameters]

    @torch.no_grad()
    def step(self) -> None:
        """Move the parameters that have gradients."""
        numbers, parameters, gradients = self._taught()
        means, squares, steps = (
            [of[i] for i in numbers] for of in (self._means, self._squares, self._steps)
        )
        adam(
            parameters, gradients, means, squares, [], steps, amsgrad=False, beta1=self._momentum,
            beta2=0.999, lr=self.learning_rate, weight_decay=0.0, eps=1e-8, maximize=False,
        )  # fmt: skip


class SGD(_Descent):
    """Stochastic gradient descent with momentum, as :class:`torch.optim.SGD`.

    Parameters
    ----------
    parameters : iterable of Tensor
    learning_rate : float
    momentum : float
        What is kept of the step before.
    """

    def __init__(self, parameters: Iterable[Tensor], learning_rate: float, momentum: float) -> None:
        super().__init__(parameters, learning_rate)
        self._momentum = momentum
        self._kept: list[Tensor | None] = [None] * len(self._parameters)

    @torch.no_grad()
    def step(self) -> None:
        """Move the parameters that have gradients."""
        numbers, parameters, gradients = self._taught()
        kept = [self._kept[i] for i in numbers]
        sgd(
            parameters, gradients, kept, weight_decay=0.0, momentum=self._momentum,
            lr=self.learning_rate, dampening=0.0, nesterov=False, maximize=False,
        )  # fmt: skip
        for i, one in zip(numbers, kept, strict=True):
            self._kept[i] = one
