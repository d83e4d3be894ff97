"""Every parameter that DEEM and DEEMAggregator share, once: its default, what it may be, and what it is for."""

from __future__ import annotations

from typing import Any

import attr
import torch

from deem_crowd.estimators.settings.declaration import parameter
from deem_crowd.estimators.settings.rules import BOOL, NONE, Choice, Number
from deem_crowd.model.votes import InitMethod
from deem_crowd.training import likelihood
from deem_crowd.training.contrastive import DivergenceSettings, Schedule


@attr.s(eq=False, repr=False, auto_attribs=True)
class Parameters:
    """What decides a fit, for either public class; :mod:`deem_crowd.estimators.settings.recipe` reads it."""

    hidden_dim: int = parameter(
        1,
        Number(1, 16, whole=True),
        names_model=True,
        doc="H hidden units. One carries the label, found from the answers alone; the others take up what "
        "workers have in common besides the label. Exact up to 1,024 joint states, by samples beyond.",
    )
    subtypes: int = parameter(
        1,
        Number(1, whole=True),
        names_model=True,
        doc="M hidden states per class, for tasks of one class that are answered in different ways.",
    )
    gauge: str = parameter(
        "auto",
        Choice(("auto", "normalised", "free")),
        names_model=True,
        doc="Whether the weights are tables that sum to 1 (Dawid-Skene), or which workers answered tells "
        "something, too ('free'). 'auto' is 'normalised' for one unit and 'free' for several and for "
        "layers, which have no other.",
    )
    penalty: likelihood.Penalty = parameter(
        "learned",
        Choice(("learned",)),
        Number(0, open_low=True, high=1e12),
        NONE,
        names_model=True,
        doc="Pseudo-answers every worker starts with, in each cell of their table: learned from all workers, "
        "given, or none. With several units or layers it is the precision of a normal prior on what a "
        "worker's weights are away from the average's (1 if 'learned').",
    )
    tol: float = parameter(
        likelihood.Settings.tol,
        Number(0),
        names_model=True,
        doc="Training stops when a pass gains less than this, in nats per answer.",
    )
    init_method: InitMethod = parameter(
        "mv",
        Choice(("mv", "mv_rand", "mv_lo", "rand")),
        names_model=True,
        doc="The start: majority vote; with noise; with low-rank noise; noise alone.",
    )
    use_weighted: bool = parameter(
        True,
        BOOL,
        names_model=True,
        doc="Scale a worker's start by their agreement with the votes of the others.",
    )
    ordered: bool | None = parameter(
        None,
        BOOL,
        NONE,
        doc="Whether the classes are ordered, as ratings are, so that errors fall off with distance. None means: if "
        "the labels are an ordered categorical; else the answers are asked for an order, which False forbids. Used by "
        "the model that is chosen from the answers.",
    )
    groups: Any = parameter(
        None,
        kind="dict of str to list of workers, or None",
        doc="Workers that share errors, such as prompts of one model: {'llama': ['llama-8b', 'llama-70b'], ...}, by "
        "their ids (columns of an array: their numbers). The answers of a group count only as far as they say more "
        "than one member would. Used by the model that is chosen from the answers.",
    )
    class_balance: Any = parameter(
        None,
        kind="dict of label to share, list of K shares, or None",
        doc="The shares of the classes among the tasks, where they are known, say from an earlier study: {'yes': 0.1, "
        "'no': 0.9}; a list is in the order of the classes. Probabilities of any model are moved as little as brings "
        "their mean close to these shares, as far as tasks are undecided. None: the shares are learned from the "
        "answers.",
    )
    auto_hyperparameters: bool | None = parameter(
        None,
        BOOL,
        NONE,
        doc="Choose the model from the answers (see ``selection_``). None: unless a parameter names one "
        "(hidden_dim, subtypes, gauge, penalty, tol, init_method, use_weighted, sampler, layers) or no pass "
        "is allowed. False is the plain model, one table a worker.",
    )
    sampler: Any = parameter(
        "auto",
        kind="str or Sampler",
        names_model=True,
        doc="'auto': none where the likelihood is exact, 'gibbs' for many units, 'dlp' behind layers. Else a "
        "registered name (:func:`deem_crowd.samplers`), a sampler class, or a sampler, of which fit uses a "
        "copy.",
    )
    use_preprocessing: bool = parameter(
        False,
        BOOL,
        names_model=True,
        doc="Put multinomial layers in front of the hidden units, for ensembles of up to some hundreds of "
        "workers. Either of the next two parameters does so as well.",
    )
    preprocessing_layers: int | None = parameter(
        None,
        Number(0, 16, whole=True),
        NONE,
        names_model=True,
        doc="How many layers; 1 if omitted.",
    )
    preprocessing_layer_widths: Any = parameter(
        None,
        kind="list of int or None",
        names_model=True,
        doc="Outputs of each layer; D if omitted.",
    )
    preprocessing_activation: str = parameter(
        "sparsemax",
        Choice(("sparsemax", "entmax", "ultramax", "softmax", "relu", "gelu", "silu")),
        doc="Over the classes of each output.",
    )
    preprocessing_init: str = parameter(
        "identity",
        Choice(("identity", "rand", "mv", "default", "units")),
        doc="The layers' start: each output repeats a worker; noise; the vote; as a linear layer of torch; "
        "hidden units trained first (for workers that fall into groups; then no training by samples follows "
        "unless ``epochs`` is given).",
    )
    preprocessing_one_hot: bool = parameter(
        False,
        BOOL,
        doc="Round the layers' output to one-hot, with straight-through gradients.",
    )
    preprocessing_use_softmax: bool = parameter(
        True,
        BOOL,
        doc="Put a softmax behind relu, gelu and silu, so that outputs are distributions.",
    )
    preprocessing_jitter: float | None = parameter(
        None,
        Number(0),
        NONE,
        doc="Standard deviation of the noise on the starts 'identity' and 'mv'; 0.005 if omitted.",
    )
    cd_k: int = parameter(
        10,
        Number(1, whole=True),
        sampled=True,
        doc="Steps of the sampler before each step of the optimiser, in training by samples.",
    )
    sampler_steps: int | None = parameter(
        None,
        Number(1, whole=True),
        NONE,
        sampled=True,
        doc="Another name for ``cd_k``, over which it takes precedence.",
    )
    sampler_oh_mode: bool | None = parameter(
        None,
        BOOL,
        NONE,
        sampled=True,
        doc="For soft input: one-hot labels, drawn from it, are what chains start from and what layers learn "
        "from (None, True); or chains start from its likeliest labels, and layers learn from the "
        "distributions (False).",
    )
    deterministic: bool = parameter(
        True,
        BOOL,
        sampled=True,
        doc="Whether hidden units enter the gradient of training by samples by their expectation; else by a "
        "draw.",
    )
    learning_rate: float | None = parameter(
        None,
        Number(0, open_low=True),
        NONE,
        sampled=True,
        doc="Learning rate of Adam in training by samples; 0.03 if omitted.",
    )
    learning_rate_schedule: Schedule = parameter(
        "cosine",
        Choice(("cosine", "linear", "constant")),
        sampled=True,
        doc="How the learning rate of training by samples falls.",
    )
    momentum: float | None = parameter(
        None,
        Number(0, 0.9999),
        NONE,
        sampled=True,
        doc="Momentum of Adam in training by samples; 0.9 if omitted.",
    )
    batch_size: int | None = parameter(
        None,
        Number(1, whole=True),
        NONE,
        sampled=True,
        doc="Tasks in a batch of training by samples; 512 if omitted.",
    )
    restart: float = parameter(
        DivergenceSettings.restart,
        Number(0, 1),
        sampled=True,
        doc="Share of the chains that start from the data again at each step.",
    )
    early_stopping: bool = parameter(
        False,
        BOOL,
        sampled=True,
        doc="Hold out a share of the tasks and stop training by samples when their free energy rises against "
        "that of the others.",
    )
    validation_fraction: float = parameter(
        DivergenceSettings.validation_fraction,
        Number(0, 0.5, open_low=True),
        sampled=True,
        doc="Share of the tasks that ``early_stopping`` holds out.",
    )
    device: str | torch.device = parameter(
        "auto",
        kind="str or torch.device",
        doc="'auto', 'cpu', 'cuda', 'cuda:1' …",
    )
    dtype: str = parameter(
        "auto",
        Choice(("auto", "float32", "float64")),
        doc="Precision of the passes over the answers. 'auto' is float32, or float64 where there are so few answers "
        "that it costs nothing.",
    )
    random_state: int | None = parameter(
        None,
        Number(0, 2**63 - 1, whole=True),
        NONE,
        doc="Seed of the generators for noisy starts and for sampling; None is 0. The global random state is "
        "neither read nor written.",
    )
    progress: bool = parameter(
        True,
        BOOL,
        doc="Show a progress bar for fits that take more than two seconds, in terminals and notebooks. The logger "
        "``deem_crowd.progress`` gets the same at the level INFO, whatever this is.",
    )
    classifier: Any = parameter(
        None,
        kind="scikit-learn classifier, torch module or None",
        doc="What learns from ``features``, on copies: a classifier with predict_proba, or a module from float32 "
        "features, (N, p), to logits, (N, K) (extra ``skorch``). If omitted, the answers choose among logistic "
        "regression, nearest neighbours and gradient boosting.",
    )
    regions: int = parameter(
        1,
        Number(1, 1000, whole=True),
        doc="With ``features``: number of clusters of them in each of which a worker has a table, drawn around the "
        "worker's overall one, for workers who are good at some things only (``region_skills_``). "
        "1: one table a worker.",
    )

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take on what a pickle holds; parameters that came after it was written have their defaults."""
        later = [f for f in attr.fields(type(self)) if f.init and f.name not in state]
        self.__dict__.update({f.name: f.default for f in later}, **state)
