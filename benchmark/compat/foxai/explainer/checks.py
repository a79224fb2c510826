"""Checks of what goes into captum, and what comes out."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from .attributions import EMPTY


def check_inputs(inputs: Any) -> None:
    """Refuses inputs that no model of images takes.

    Raises:
        TypeError: no dense tensor of floating-point numbers.
        ValueError: no batch, NaN or infinity.
        RuntimeError: no value.
    """
    if not isinstance(inputs, Tensor):
        raise TypeError(f"input_data is a {type(inputs).__name__}: give a tensor, for example by torch.as_tensor")
    if not inputs.is_floating_point():
        raise TypeError(f"input_data is {inputs.dtype}: convert it to floats as the model sees them")
    if inputs.layout is not torch.strided:
        raise TypeError(f"input_data is {inputs.layout}: convert it by input_data.to_dense()")
    if inputs.dim() < 2:
        raise ValueError(f"input_data has shape {tuple(inputs.shape)}: give a batch, for example by unsqueeze(0)")
    if not inputs.numel():
        raise RuntimeError(EMPTY.format(shape=tuple(inputs.shape)))
    finite = inputs.isfinite().flatten(1).all(1)
    if not bool(finite.all()):
        raise ValueError(
            f"input_data[{int(finite.logical_not().nonzero()[0])}] holds NaN or infinity: leave it out, or fill the gap"
        )


def finite(attributions: Tensor) -> Tensor:
    """The same attributions.

    Raises:
        ValueError: NaN or infinity.
    """
    if not bool(attributions.isfinite().all()):
        raise ValueError(
            "the attributions hold NaN or infinity: the model's gradient is not finite at these inputs or baselines (a "
            "root or a logarithm at 0, say): give other baselines, or mend the model"
        )
    return attributions


@contextmanager
def captums_refusals(explainer: str, names: list[str]) -> Iterator[None]:
    """Captum checks by assertions, and leaves to torch what has no gradient.

    Raises:
        TypeError: captum's numbers are of another dtype than the model's.
        ValueError: captum refuses, or the output does not depend on what it is attributed to.
    """
    of = f"layer {', '.join(map(repr, names))}" if names else "input_data"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Multiple layers provided", UserWarning)
            yield
    except AssertionError as error:
        raise ValueError(f"{explainer}: captum refuses: {str(error).rstrip('.')}. Mend or leave out") from error
    except RuntimeError as error:
        if "not have been used in the graph" in str(error) and len(names) > 1:
            raise ValueError(
                f"{explainer}: of the layers {', '.join(names)} one acts through another alone, so that together "
                "it has no attribution: call the explainer once for each"
            ) from error
        if "not have been used in the graph" in str(error) or "does not require grad" in str(error):
            raise ValueError(
                f"{explainer}: the explained output has no gradient by {of}: it does not depend on it, or the model "
                "detaches, rounds or forbids gradients (torch.no_grad) on the way"
            ) from error
        if "should be the same" in str(error) or "same dtype" in str(error):
            raise TypeError(
                f"{explainer}: captum draws float32 numbers, the model has others ({error}): explain model.float() by "
                "input_data.float()"
            ) from error
        raise
