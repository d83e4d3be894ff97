"""What DEEM shows of its fitted model: tables, which class each hidden state stands for, and its hidden units."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.estimators import fitted
from deem_crowd.estimators.many_classes import SparseModel
from deem_crowd.estimators.naming import NAMING, Naming

if TYPE_CHECKING:
    from typing_extensions import Self


class Readings:
    """Attributes that are read off the fitted model when they are asked for, and the mapping of its classes."""

    @property
    def is_fitted_(self) -> bool:
        """Whether fit has succeeded."""
        return "_fitted" in self.__dict__

    @property
    def confusion_(self) -> npt.NDArray[np.float64]:
        """p(answer | label), shape (D, K, K) as [source, answer, label]; made when asked for."""
        return self._seen("confusion_").full_confusion()

    @property
    def selection_(self) -> pd.DataFrame | None:
        """What the model was chosen among, a row a candidate; None where it was named.

        Columns ``candidate``; ``score``, a lower bound of the log evidence in nats per answer; ``difference`` and
        ``standard_error``, how much likelier it makes a task's answers than one table a source does, in nats;
        ``agreement``, how far its labels are those of the others; ``weight``, what it counts; ``why``.
        """
        return self._seen("selection_").selection()

    @property
    def skill_intervals_(self) -> npt.NDArray[np.float64]:
        """A 95 % interval of each source's skill, shape (D, 2), from the curvature of the likelihood."""
        return self._seen("skill_intervals_").skill_intervals()

    @property
    def mapping_(self) -> pd.DataFrame | None:
        """Which class each source's own name stands for, with ``label_names='own'``; None where names are common.

        Index (worker, label): columns ``name`` (the class, 0..K-1), ``probability`` p(that class | own name) and
        ``n_tasks``, the tasks that were given the name.
        """
        self._seen("mapping_")
        naming: Naming | None = self.__dict__.get(NAMING)
        return None if naming is None else naming.table()

    def get_class_mapping(self) -> dict[int, int]:
        """Return which class each group of hidden states stands for, as {state: class}.

        Raises
        ------
        NotFittedError
        """
        model = self._model()
        return {j: int(model.used[c]) for j, c in enumerate(model.class_map)}

    def reset_class_mapping(self) -> Self:
        """Read the hidden states under their own numbers; labels, probabilities and tables all follow.

        Raises
        ------
        NotFittedError
        """
        before = self._model()
        if isinstance(before, SparseModel):  # whose states are read so
            return self
        model = before.with_class_map(np.arange(len(before.used)))
        if "probas_" in self.__dict__:
            renamed = np.arange(model.n_classes)
            renamed[before.used[before.class_map]] = model.used[model.class_map]
            moved = np.empty_like(self.__dict__["probas_"])
            moved[:, renamed] = self.__dict__["probas_"]
            labels = np.append(renamed, -1)[self.__dict__["labels_"]]
            self.__dict__.update(probas_=moved, labels_=labels)
        self.__dict__.update(
            _fitted=model,
            class_map_=model.class_map,
            priors_=model.priors,
            skills_=model.skills,
        )
        return self

    @property
    def label_unit_(self) -> int:
        """Which hidden unit carries the label, 0..H-1; found from the answers alone."""
        return self._seen("label_unit_").label_unit

    @property
    def unit_scores_(self) -> npt.NDArray[np.float64]:
        """What speaks for each hidden unit being the label, shape (H,); the highest is. Empty for one unit.

        The mean over sources of log(κ + 0.05), κ a source's skill, corrected for chance, at telling that unit.
        """
        return np.array([reading.score for reading in self._seen("unit_scores_").readings])

    @property
    def unit_skills_(self) -> npt.NDArray[np.float64]:
        """κ of each source for each hidden unit, shape (H, D); empty for one unit."""
        readings = self._seen("unit_skills_").readings
        return np.array([reading.skills for reading in readings]).reshape(
            len(readings), len(self._model().skills)
        )

    def _seen(self, name: str) -> fitted.FittedModel | SparseModel:
        if not self.is_fitted_:
            raise AttributeError(f"{name} is available after fit")
        return self._model()

    def _model(self) -> fitted.FittedModel | SparseModel:
        if not self.is_fitted_:
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("this DEEM is not fitted yet: call fit(predictions) first.")
        model: fitted.FittedModel | SparseModel = self.__dict__["_fitted"]
        return model
