"""Tensors of torch, on whatever device, as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from deem_crowd.exceptions import FormError


def of_tensor(tensor: Any, what: str) -> npt.NDArray[Any]:
    """Return a torch tensor of any device as an array; what numpy has no type for becomes float32, which holds it.

    Raises
    ------
    FormError
        If it is sparse, nested, quantised or holds no data.
    """
    layout = str(tensor.layout).removeprefix("torch.")
    for kind, remedy in (
        (tensor.is_nested and "nested", "pad it: x.to_padded_tensor(-1)"),
        (tensor.is_quantized and "quantised", "pass x.dequantize()"),
        (tensor.is_meta and "meta", "it holds no numbers: pass it from another device"),
        (layout != "strided" and layout, "pass x.to_dense() if what is not stored is zero"),
    ):
        if kind:
            raise FormError(f"{what} are a {kind} tensor; a dense one is needed: {remedy}.")
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
    if tensor.is_floating_point() and tensor.dtype.itemsize < 4:
        tensor = tensor.float()
    return np.asarray(tensor.numpy())
