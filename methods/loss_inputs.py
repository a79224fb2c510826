"""Checks of the arguments of a loss before a model is called, and of the types that a model did not take."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real

import torch
from jaxtyping import Float
from torch import Tensor

from ..datasets.registry import nearest
from .independence import Model, modules_of, name_of
from .targets import TARGETS

BYTES = 31
"""Whole numbers above it are probably pixels of 8 bits; digits of 16 shades are not."""


def check_arguments(model: object, inputs: object, strength: object, target: object) -> None:
    """Raises ValueError for a model, inputs, a strength or a target that is none, with the way out."""
    if not callable(model):
        raise ValueError(f"model is a {type(model).__name__}: pass a torch.nn.Module or a function that gives logits")
    number = isinstance(strength, Real) or (isinstance(strength, Tensor) and strength.dim() == 0)
    if not number or isinstance(strength, bool):
        given = f"of shape {tuple(strength.shape)}" if isinstance(strength, Tensor) else repr(strength)
        raise ValueError(f"strength is {type(strength).__name__} {given}: pass a single number, e.g. 1.0")
    if not (strength >= 0 and math.isfinite(strength)):  # pyrefly: ignore
        raise ValueError(f"strength = {strength} must be finite and not negative, e.g. 1.0")
    if target not in list(TARGETS):
        raise ValueError(f"target = {target!r} is no target: {nearest(str(target), TARGETS)}")
    if not isinstance(inputs, Tensor):
        raise ValueError(f"inputs are a {type(inputs).__name__}: pass a tensor, e.g. torch.as_tensor(inputs)")


def check_not_inference(**tensors: object) -> None:
    """Raises ValueError for tensors that were made under `torch.inference_mode`, which no gradient can pass."""
    for name, tensor in tensors.items():
        if isinstance(tensor, Tensor) and tensor.is_inference() and torch.is_grad_enabled():
            raise ValueError(
                f"{name} of shape {tuple(tensor.shape)} were made under torch.inference_mode, and have no gradients: "
                f"pass {name}.clone()"
            )


def writes_into_inputs(model: Model) -> str:
    """The error of a model that changes its inputs in place."""
    return (
        f"{name_of(model)} writes into its inputs, whose gradient is asked for: let it begin with "
        "`inputs = inputs.clone()`, or compute without `_` and `inplace`"
    )


def warn_of_bytes(inputs: Float[Tensor, "batch *features"]) -> None:
    """Warns of pixels in 0..255: a penalty of input gradients is 65,025 times smaller than in [0, 1]."""
    values = inputs.detach()
    if (largest := float(values.amax())) > BYTES and torch.equal(values, values.round()):
        warnings.warn(
            f"inputs are whole numbers up to {largest:g}: are they pixels in 0..255? A penalty "
            "of input gradients is then 65,025 times smaller than in [0, 1]: divide them by 255, or raise the strength",
            stacklevel=3,
        )


@contextmanager
def types_named(model: Model, inputs: Tensor) -> Iterator[None]:
    """Raises ValueError where the model writes into its inputs, or fails on another type or device than its own."""
    try:
        yield
    except RuntimeError as error:
        if "a leaf Variable that requires grad is being used in an in-place operation" in str(error):
            raise ValueError(writes_into_inputs(model)) from error
        parameters = [parameter for module in modules_of(model) for parameter in module.parameters(recurse=False)]
        for kind in ("dtype", "device"):
            theirs = [getattr(parameter, kind) for parameter in parameters]
            if theirs and getattr(inputs, kind) not in theirs:
                raise ValueError(
                    f"inputs have {kind} {getattr(inputs, kind)}, the parameters of {name_of(model)} {theirs[0]}: pass "
                    f"inputs.to(next(model.parameters()).{kind})"
                ) from error
        if not parameters and "dtype" in str(error):
            raise ValueError(
                f"{name_of(model)} does not take inputs of {inputs.dtype} ({error}): convert them, e.g. inputs.float()"
            ) from error
        raise
