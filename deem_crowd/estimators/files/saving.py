"""What of a fitted object goes into a model file, and back: its parameters, its model, and save and load."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from torch import Tensor

from deem_crowd.estimators.files import checkpoint, stored_ids
from deem_crowd.estimators.files.checkpoint import Reader
from deem_crowd.estimators.settings import declaration
from deem_crowd.exceptions import DataError, ParameterError

T = TypeVar("T", bound="Persistent")


class _Load:
    """``cls.load(path)`` returns a new object; ``obj.load(path)`` loads into the object and returns it."""

    def __get__(self, instance: T | None, owner: type[T]) -> Callable[[str | os.PathLike[str]], T]:
        def load(path: str | os.PathLike[str]) -> T:
            """Read a model that :meth:`save` wrote.

            Called on the class it returns a new object; called on an object, that object takes on the file's
            parameters and fitted state, or stays as it was if the call fails.

            Raises
            ------
            FileNotFoundError
            FormError
                If the file is no model of this class, is damaged, incomplete or of another version.
            """
            reader = Reader(checkpoint.destination(require_path(path)), owner.__name__)
            blank = owner()
            parameters = checkpoint.known_parameters(reader, blank.get_params())
            if "groups" in parameters:
                parameters["groups"] = stored_ids.read_groups(parameters["groups"], reader)
            if "class_balance" in parameters:
                parameters["class_balance"] = stored_ids.read_shares(
                    parameters["class_balance"], reader
                )
            declaration.check(parameters, owner)
            state = owner._restore(reader)
            reader.close()
            loaded = blank if instance is None else instance
            fresh = {**{name: getattr(blank, name) for name in blank.get_params()}, **parameters}
            # one assignment, so that an interrupt leaves either the old state or the new one
            loaded.__dict__ = {**fresh, **state}
            return loaded

        return load


class Persistent:
    """What has parameters and a fitted state, and can be written to a file."""

    load = _Load()

    if TYPE_CHECKING:  # the public classes have these, by whatever base

        def get_params(self, deep: bool = True) -> dict[str, Any]: ...  # noqa: D102

        def _state(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None: ...

        @classmethod
        def _restore(cls, reader: Reader) -> dict[str, Any]: ...

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write parameters and fitted state to a file: tensors as safetensors, the rest as JSON.

        Predictions of the loaded model are bit-equal. The file is written beside its place and renamed, so
        that what stood there before is there until all is written.

        What was learned from features is in the file, too: the regression as numbers, any other classifier in skops's
        format, which is no pickle (extra ``classifier``). A classifier that skops cannot read safely is left out, with
        a warning. An object that was given as ``classifier`` is no part of the file.

        Parameters
        ----------
        path : path
            ``.safetensors`` is added where there is no suffix.
        overwrite : bool
            Also replace a file that is not a model of deem-crowd. Models and empty files are replaced in any case.

        Raises
        ------
        NotFittedError
        OverwriteError
            If ``path`` holds something else than a model and ``overwrite`` is False.
        UnsupportedError
            For parameters or ids that cannot be written, a sampler object, say.
        OSError
        """
        state = self._state()
        if state is None:
            from sklearn.exceptions import NotFittedError

            name = type(self).__name__
            raise NotFittedError(f"this {name} is not fitted yet: there is no model to save.")
        content, tensors = state
        parameters = self.get_params(deep=False)
        parameters = {k: v for k, v in parameters.items() if k != "classifier"}
        if "groups" in parameters:
            parameters["groups"] = stored_ids.plain_groups(parameters["groups"])
        if "class_balance" in parameters:
            parameters["class_balance"] = stored_ids.plain_shares(parameters["class_balance"])
        content = {
            "parameters": checkpoint.plain_parameters(parameters),
            **content,
        }
        target = require_path(path)
        if not overwrite:
            checkpoint.require_replaceable(target)
        checkpoint.write(target, type(self).__name__, content, tensors)


def require_path(path: Any) -> str | os.PathLike[str]:
    """Return ``path`` if it is one.

    Raises
    ------
    ParameterError, DataError
    """
    if not isinstance(path, str | os.PathLike):
        raise ParameterError(f"path={path!r} is not allowed: it is the name of a file.")
    if not os.fspath(path):
        raise DataError("path is empty: give the name of a file.")
    return path


def model_file(folder: Any) -> Path:
    """Return the file that fit writes into ``model_dir``, which is made if it is not there."""
    place = Path(require_path(folder))
    place.mkdir(parents=True, exist_ok=True)
    return place / f"deem{checkpoint.SUFFIX}"
