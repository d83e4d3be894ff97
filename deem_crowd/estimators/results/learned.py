"""What a fit with features adds: its classifier, how features are used, and skills by region."""

from __future__ import annotations

from typing import Any

import pandas as pd

from deem_crowd.estimators.featured import FEATURES, FeatureModel


class WithFeatures:
    """What a fit with features leaves beside the rest; None after a fit without."""

    @property
    def classifier_(self) -> Any:
        """The classifier that was learned from features; its ``predict`` takes new things without any answer.

        After a fit with a frame whose columns have names it is a pipeline that takes the columns of frames by name; the
        classifier is its last step. Columns of arrays are taken in order.

        It is the classifier that ``predict`` uses, and no copy: to train it on other things, take ``copy.deepcopy`` or
        scikit-learn's ``clone`` of it.
        """
        made = self._known_features("classifier_")
        if made is None or made.columns is None:
            return None if made is None else made.classifier
        from deem_crowd.features.named import by_name

        return by_name(made.classifier, made.columns)

    @property
    def features_use_(self) -> str | None:
        """How features are used, and why: 'joint', 'product' or 'answers alone', and a reason."""
        feature_model = self._known_features("features_use_")
        return None if feature_model is None else feature_model.use

    @property
    def region_skills_(self) -> Any:
        """The chance of a right answer of each worker in each region, shape (D, R), after a fit with ``regions``.

        A region is a cluster of the features; the last one is tasks without features. None where no such tables were
        learned.
        """
        feature_model = self._known_features("region_skills_")
        if feature_model is None or feature_model.regional is None:
            return None
        skills, names = feature_model.regional.skills, getattr(self, "skills_", None)
        if not isinstance(names, pd.Series):
            return skills
        return pd.DataFrame(skills, names.index, pd.RangeIndex(skills.shape[1], name="region"))

    def _known_features(self, name: str) -> FeatureModel | None:
        if "_fitted" not in self.__dict__:
            raise AttributeError(f"{name} is available after fit")
        return self.__dict__.get(FEATURES)
