"""All that decides a fit besides the answers, made from the parameters of either public class."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from deem_crowd.estimators import balance, grouped
from deem_crowd.estimators.settings.declaration import declared
from deem_crowd.estimators.settings.parameters import Parameters
from deem_crowd.exceptions import ParameterError, ParameterWarning, UnsupportedError
from deem_crowd.model import layers, votes
from deem_crowd.runtime.warning import warn
from deem_crowd.samplers.base import Sampler
from deem_crowd.training import contrastive
from deem_crowd.training import likelihood as training

# Standard deviation of the noise on the start of layers, relative to the weight of a whole answer.
JITTER = 0.005


@dataclass(frozen=True)
class LayerRecipe:
    """Which multinomial layers to put in front of the hidden units; see :func:`deem_crowd.model.layers.build`."""

    widths: tuple[int | None, ...]
    activation: str = "sparsemax"
    init: str = "identity"
    jitter: float = JITTER
    one_hot: bool = False
    use_softmax: bool = True

    def build(self, n_classes: int, n_workers: int, generator: torch.Generator) -> layers.Layers:
        """Return the layers at their start; a width of None is D."""
        return layers.build(
            n_classes,
            n_workers,
            [n_workers if width is None else width for width in self.widths],
            self.activation,
            self.init,
            self.jitter,
            generator,
            self.one_hot,
            self.use_softmax,
        )


@dataclass(frozen=True)
class Recipe:
    """All that decides a fit besides the answers.

    Attributes
    ----------
    settings : training.Settings
    divergence : contrastive.DivergenceSettings
        For training by samples.
    automatic : bool
        Whether the model is chosen from the answers (:mod:`deem_crowd.selection`); all else but gold, device and dtype
        is then without effect.
    hidden_dim : int
        H.
    layers : LayerRecipe, optional
    sampler : Sampler, optional
        None: none where the likelihood is exact, else the one that suits.
    """

    settings: training.Settings = field(default_factory=training.Settings)
    divergence: contrastive.DivergenceSettings = field(
        default_factory=contrastive.DivergenceSettings
    )
    automatic: bool = False
    hidden_dim: int = 1
    layers: LayerRecipe | None = None
    sampler: Sampler | None = None
    init_method: votes.InitMethod = "mv"
    use_weighted: bool = True
    ordered: bool | None = None
    groups: Mapping[str, Sequence[Hashable]] | None = None
    class_balance: Any = None
    device: str | torch.device = "auto"
    dtype: str = "auto"
    random_state: int | None = None

    @property
    def plain(self) -> bool:
        """Whether this is one hidden unit over the answers themselves, trained exactly."""
        return self.hidden_dim == 1 and self.layers is None and self.sampler is None

    @property
    def unit(self) -> str:
        """What training counts: passes over all answers, or epochs of mini-batches."""
        sampled = self.layers is not None or self.sampler is not None
        return "epochs" if sampled else "passes"

    def generator(self, device: torch.device | None = None) -> torch.Generator:
        """Return the generator of a fit."""
        return torch.Generator(device or torch.device("cpu")).manual_seed(
            int(self.random_state or 0)
        )


def recipe(parameters: Mapping[str, Any], n_iter: int, epochs: int | None) -> Recipe:
    """Return the recipe of a public class's parameters, which are checked already.

    Parameters
    ----------
    parameters : mapping
        The constructor's arguments.
    n_iter : int
        Most passes of exact training.
    epochs : int, optional
        Of training by samples; None leaves it to the number of tasks.

    Raises
    ------
    ParameterError, UnsupportedError, PluginError
        For parameters that do not go together, or a sampler that is none.
    """
    grouped.check(parameters["groups"])
    balance.check(parameters["class_balance"])
    chosen = _layers(parameters)
    hidden_dim, gauge = parameters["hidden_dim"], parameters["gauge"]
    several = hidden_dim > 1 or chosen is not None
    if gauge == "auto":
        gauge = "free" if several else "normalised"
    elif gauge == "normalised" and several:
        raise UnsupportedError(
            "gauge='normalised' is for one hidden unit without layers; several units, and layers, are a Boltzmann "
            "machine with weights of its own. Use gauge='auto' or 'free'."
        )
    automatic = _automatic(parameters, n_iter)
    for name, said in (("ordered", "ordered=True"), ("groups", "groups")):
        if parameters[name] and not automatic:
            raise ParameterError(
                f"{said} is for the model that is chosen from the answers: leave out what names another one "
                f"(auto_hyperparameters=False, hidden_dim, subtypes, layers, ...), or leave out {name}."
            )
    _warn_idle(parameters, automatic, several)
    n_steps = parameters["sampler_steps"]
    hard_start = parameters["sampler_oh_mode"] is False
    given = {
        "learning_rate": parameters["learning_rate"],
        "momentum": parameters["momentum"],
        "batch_size": parameters["batch_size"],
    }
    return Recipe(
        settings=training.Settings(
            n_subtypes=parameters["subtypes"],
            gauge=gauge,
            penalty=parameters["penalty"],
            n_iter=n_iter,
            tol=parameters["tol"],
        ),
        divergence=contrastive.DivergenceSettings(
            n_steps=parameters["cd_k"] if n_steps is None else n_steps,
            expectation=parameters["deterministic"],
            schedule=parameters["learning_rate_schedule"],
            epochs=epochs,
            restart=parameters["restart"],
            hard_start=hard_start,
            early_stopping=parameters["early_stopping"],
            validation_fraction=parameters["validation_fraction"],
            **{name: value for name, value in given.items() if value is not None},
        ),
        automatic=automatic,
        hidden_dim=hidden_dim,
        layers=chosen,
        sampler=_sampler(parameters["sampler"]),
        init_method=parameters["init_method"],
        use_weighted=parameters["use_weighted"],
        ordered=parameters["ordered"],
        groups=parameters["groups"],
        class_balance=parameters["class_balance"],
        device=parameters["device"],
        dtype=parameters["dtype"],
        random_state=parameters["random_state"],
    )


def _given(parameters: Mapping[str, Any], role: str) -> list[str]:
    """Return the parameters of a role (see ``parameter``) that are not at their default, as NAME=VALUE."""
    return [
        f"{name}={parameters[name]!r}"
        for name, field in declared(Parameters).items()
        if field.metadata[role]
        and parameters[name] is not field.default
        and parameters[name] != field.default
    ]


def _warn_idle(parameters: Mapping[str, Any], automatic: bool, several: bool) -> None:
    """Warn of parameters that have no part in an exact fit of one unit."""
    if several or parameters["sampler"] != "auto":
        return
    idle = _given(parameters, "sampled")
    if idle:
        part = (
            "ordered, groups, gold and n_iter (epochs)"
            if automatic
            else "n_iter (epochs), tol, penalty, gauge and subtypes"
        )
        warn(
            f"{', '.join(idle)} have no part in this fit: its likelihood is exact, and nothing is sampled. What counts "
            f"here: {part}. Samples are drawn with sampler='gibbs' (or another), or with layers.",
            ParameterWarning,
        )


def _automatic(parameters: Mapping[str, Any], n_iter: int) -> bool:
    """Whether the model is to be chosen from the answers: if it is asked for, or nothing else is.

    Raises
    ------
    ParameterError
        If it is asked for, and a model as well.
    """
    wanted = parameters["auto_hyperparameters"]
    asked = _given(parameters, "names_model")
    if wanted and asked:
        raise ParameterError(
            f"auto_hyperparameters=True chooses the model, and {', '.join(asked)} names one: leave one of them out."
        )
    return n_iter > 0 and not asked and wanted is not False


def _layers(parameters: Mapping[str, Any]) -> LayerRecipe | None:
    number, widths = parameters["preprocessing_layers"], parameters["preprocessing_layer_widths"]
    if not parameters["use_preprocessing"] and number is None and widths is None:
        return None
    if widths is None:
        chosen: tuple[int | None, ...] = (None,) * (1 if number is None else number)
    else:
        chosen = _widths(widths)
        if number is not None and number != len(chosen):
            raise ParameterError(
                f"preprocessing_layers={number} and preprocessing_layer_widths={list(chosen)} do not go together: "
                "give one width per layer, or leave one of them out."
            )
    if not chosen:
        return None
    jitter = parameters["preprocessing_jitter"]
    return LayerRecipe(
        widths=chosen,
        activation=parameters["preprocessing_activation"],
        init=parameters["preprocessing_init"],
        jitter=JITTER if jitter is None else float(jitter),
        one_hot=parameters["preprocessing_one_hot"],
        use_softmax=parameters["preprocessing_use_softmax"],
    )


def _widths(widths: Any) -> tuple[int, ...]:
    listed = isinstance(widths, Sequence) and not isinstance(widths, str)
    whole = listed and all(
        isinstance(w, int | np.integer) and not isinstance(w, bool) and w >= 1 for w in widths
    )
    if not whole:
        raise ParameterError(
            f"preprocessing_layer_widths={widths!r} is not allowed: it is a list of integers >= 1, the number of "
            "outputs of each layer, or None."
        )
    return tuple(int(w) for w in widths)


def _sampler(value: Any) -> Sampler | None:
    """Return a sampler of our own to use: built by its registered name or from its class, or a copy."""
    if isinstance(value, str):
        if value == "auto":
            return None
        from deem_crowd.plugins.registry import get_sampler

        value = get_sampler(value)
    if callable(value) and not isinstance(value, Sampler):
        try:
            value = value()
        except TypeError as error:
            raise ParameterError(
                f"sampler={value!r} cannot be made without arguments: {error}. Pass a sampler that is made already."
            ) from error
    if not isinstance(value, Sampler):
        raise ParameterError(
            f"sampler={value!r} is not allowed: it is 'auto', the name of a registered sampler "
            "(deem_crowd.samplers() lists them), or a deem_crowd.samplers.Sampler."
        )
    return copy.deepcopy(value)
