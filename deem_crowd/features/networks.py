"""A torch module, or a network of skorch's, as the classifier that learns from a posterior."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin

from deem_crowd.exceptions import DataError, ParameterError, counted, first_few
from deem_crowd.features.learners import Foreign, Learner, Predictor
from deem_crowd.features.scaling import Scaling
from deem_crowd.features.sklearn_learner import SklearnLearner
from deem_crowd.runtime import extras

FloatArray = npt.NDArray[np.float64]

_EPOCHS, _BATCH, _RATE = 30, 64, 1e-3


def is_network(classifier: Any) -> bool:
    """Whether this is a torch module, or a network of skorch's, alone or at the end of a pipeline."""
    if hasattr(classifier, "steps"):
        return is_network(classifier.steps[-1][1])
    kinds = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(classifier).__mro__}
    return bool(kinds & {"torch.nn.modules.module.Module", "skorch.net.NeuralNet"})


class NetworkLearner(SklearnLearner):
    """Trains copies of a network, each from the parameters that the caller's has.

    A module maps features, float32 of shape (N, p), to logits, (N, K): it is trained on soft targets, by cross-entropy
    and Adam, 30 epochs. A network of skorch's brings its own loss, optimiser and epochs, and sees labels drawn from the
    targets. Torch's global generator is left as it was.
    """

    def __init__(self, classifier: Any, random_state: int = 0) -> None:
        extras.require("skorch", "torch modules as classifiers")
        self._module = None if hasattr(classifier, "fit") else classifier
        super().__init__(_net(classifier) if self._module is not None else classifier, random_state)

    def anew(self) -> Learner:
        """See :class:`~deem_crowd.features.learners.Learner`."""
        return self

    def again(self, passed: int = 0) -> Learner:
        """See :class:`~deem_crowd.features.learners.Learner`."""
        return self

    def fitted(self, x: Any, targets: FloatArray, weights: FloatArray, labels: Any) -> Any:
        """Return a fitted network whose classes are ``labels``, shape (K,)."""
        import torch

        codes = np.arange(targets.shape[1])
        dense = np.asarray(x.toarray() if hasattr(x, "toarray") else x, dtype=np.float32)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            if self._module is None:
                untrained = self.estimator
                network = super().fitted(dense, targets, weights, codes)
            else:
                self._require_logits(dense[:2], len(codes))
                taught = np.flatnonzero(weights > 0)
                net = _net(copy.deepcopy(self._module)).set_params(
                    classes=codes,
                    # of a batch of one, layers that normalise batches make nothing
                    iterator_train__drop_last=len(taught) > _BATCH and len(taught) % _BATCH == 1,
                )
                untrained = copy.deepcopy(net)
                share = (weights / weights[taught].mean())[taught, None] * targets[taught]
                network = net.fit(dense[taught], share.astype(np.float32))
        return NamedNetwork(untrained, labels, self._seed, network)

    def public(self, predictor: Predictor, scaling: Scaling, labels: Any) -> Any:
        """See :class:`~deem_crowd.features.learners.Learner`."""
        assert isinstance(predictor, Foreign)
        named = copy.copy(predictor.estimator)
        named.classes = labels
        return named

    def _require_logits(self, x: Any, n_classes: int) -> None:
        import torch

        module: Any = copy.deepcopy(self._module)
        module.eval()
        try:
            with torch.no_grad():
                told = module(torch.from_numpy(x))
        except RuntimeError as error:
            raise ParameterError(
                f"classifier={type(self._module).__name__} failed on features of shape (N, {x.shape[1]}), 32-bit "
                f"floats: {error}. Check that its first layer takes {x.shape[1]} columns."
            ) from error
        if tuple(told.shape) != (len(x), n_classes):
            raise ParameterError(
                f"classifier={type(self._module).__name__} gives {tuple(told.shape)[1:]} numbers a task, and there are "
                f"{n_classes} classes: its last layer has to give {n_classes} logits."
            )


def _net(module: Any) -> Any:
    import torch
    from skorch import NeuralNetClassifier

    return NeuralNetClassifier(
        module,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=_RATE,
        max_epochs=_EPOCHS,
        batch_size=_BATCH,
        train_split=None,
        iterator_train__shuffle=True,
        verbose=0,
    )


class NamedNetwork(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A network, whose classes are numbers, under the names of the classes.

    Parameters
    ----------
    network : network of skorch's, alone or at the end of a pipeline
        Not trained; fits are made on copies.
    classes : array, shape (K,)
    random_state : int
        Of torch, while a copy is trained.
    trained : the same network after training, optional

    Attributes
    ----------
    classes_ : array, shape (K,)
    """

    def __init__(
        self, network: Any, classes: Any, random_state: int = 0, trained: Any = None
    ) -> None:
        self.network, self.classes, self.random_state = network, classes, random_state
        self.trained = trained

    @property
    def classes_(self) -> Any:
        """The names of the classes."""
        return np.asarray(self.classes)

    def __sklearn_is_fitted__(self) -> bool:
        """Whether the network has been trained."""
        return self.trained is not None

    def fit(self, X: Any, y: Any) -> NamedNetwork:
        """Train a new copy of the network on labels, array of shape (N,).

        Raises
        ------
        DataError
            If a label is none of the classes.
        """
        codes = pd.Index(self.classes_).get_indexer(pd.Index(np.asarray(y)))
        strange = np.asarray(y)[codes < 0].tolist()
        if strange:
            raise DataError(
                f"y holds {counted(len(strange), 'label')} that the network has no class for: {first_few(strange)}. "
                f"Its classes are {first_few(self.classes_.tolist(), 10)}."
            )
        import torch

        network = copy.deepcopy(self.network)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.random_state)
            self.trained = network.fit(_dense(X), codes.astype(np.int64))
        return self

    def predict_proba(self, X: Any) -> Any:
        """Return p(label | x), shape (N, K)."""
        import torch

        with torch.random.fork_rng(devices=[]):  # a loader of data draws a number that nobody needs
            return self.trained.predict_proba(_dense(X))

    def predict(self, X: Any) -> Any:
        """Return the likeliest class of each row, shape (N,)."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def _dense(x: Any) -> Any:
    return np.asarray(x.toarray() if hasattr(x, "toarray") else x, dtype=np.float32)
