"""Features that the companions cannot do well with: what is said of them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_blobs

from deem_crowd.clustering import DEC, HUME, AutoencoderKMeans, Kingdra
from deem_crowd.exceptions import DataError, DataWarning, FormError

SMALL = {"layers": (16, 4), "pretrain_epochs": 10, "batch_size": 32}
MODELS = {
    "DEC": DEC(3, **SMALL, update_interval=5, max_iter=10),
    "AutoencoderKMeans": AutoencoderKMeans(3, **SMALL),
    "Kingdra": Kingdra(3, n_models=3, n_iter=1, layers=(16,)),
    "HUME": HUME(3, n_labelings=3, n_steps=20, inner_steps=10, cv=3),
}


def fitted(name: str, X):
    model = clone(MODELS[name])
    return model.fit(X, np.abs(X)) if name == "HUME" else model.fit(X)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("change", [(1, 0), (1, 1e4), (1e-6, 0), (100, 50)], ids=str)
def test_empty_clusters_are_told(name, change) -> None:
    """Features far from zero, or tiny, are learned badly: a fit that names fewer clusters than asked for says so."""
    X = make_blobs(90, 6, centers=3, random_state=0)[0] * change[0] + change[1]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = fitted(name, X)
    said = [str(w.message) for w in caught if issubclass(w.category, DataWarning)]
    found = len(np.unique(model.labels_))
    assert any(f"n_clusters=3, but labels_ names only {found}" in text for text in said) == (
        found < 3
    )


@pytest.mark.parametrize("name", ["DEC", "HUME"])
def test_some_fits_have_empty_clusters(name) -> None:
    X = make_blobs(90, 6, centers=3, random_state=0)[0] + 1e4
    with pytest.warns(DataWarning, match=r"labels_ names only 1: .* one scale"):
        fitted(name, X)


@pytest.mark.parametrize("name", ["DEC", "AutoencoderKMeans"])
def test_training_that_diverges_names_the_features(name) -> None:
    model = clone(MODELS[name])
    X = make_blobs(90, 6, centers=3, random_state=0)[0]
    with pytest.raises(DataError, match=r"features of X reach 1.*e\+2.*one scale"):
        model.fit(X * 1e20)
    assert not hasattr(model, "labels_")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csr_array])
def test_sparse_features_are_refused_with_a_remedy(name, form) -> None:
    X = form(make_blobs(90, 6, centers=3, random_state=0)[0])
    with pytest.raises(FormError, match=r"sparse matrix.*toarray\(\)"):
        clone(MODELS[name]).fit(*[X] * (2 if name == "HUME" else 1))


@pytest.mark.parametrize("name", MODELS)
def test_what_a_mask_hides_is_no_feature(name) -> None:
    X = np.ma.masked_array(np.ones((90, 6)), np.eye(90, 6))
    with pytest.raises(FormError, match="masked array with 6 masked entries"):
        clone(MODELS[name]).fit(*[X] * (2 if name == "HUME" else 1))
