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

BYTES, BRIGHTEST = 31, 255
"""Numbers between the two are probably pixels of 8 bits; digits of 16 shades are not."""
IMAGES = 4
"""Axes of a batch of images."""


def check_arguments(model: object, inputs: object, strength: object, target: object) -> None:
    """Raises ValueError for a model, inputs, a strength or a target that is none, with the way out."""
    if isinstance(model, type):
        raise ValueError(f"model is the class {model.__name__}: pass an instance, such as {model.__name__}(...)")
    if not callable(model):
        raise ValueError(f"model is a {type(model).__name__}: pass a torch.nn.Module or a function that gives logits")
    number = strength.item() if isinstance(strength, Tensor) and strength.dim() == 0 else strength
    if not isinstance(number, Real) or isinstance(number, bool):
        tensor = isinstance(strength, Tensor)
        given = f"of {strength.dtype} and shape {tuple(strength.shape)}" if tensor else repr(strength)
        raise ValueError(f"strength is {type(strength).__name__} {given}: pass a single number, e.g. 1.0")
    try:
        value = float(number)
    except OverflowError:  # of an int of 309 digits or more
        value = math.inf
    if not 0 <= value < math.inf:
        raise ValueError(f"strength = {value} must be finite and not negative, e.g. 1.0")
    if target not in list(TARGETS):
        raise ValueError(f"target = {target!r} is no target: {nearest(str(target), TARGETS)}")
    if not isinstance(inputs, Tensor):
        raise ValueError(f"inputs are a {type(inputs).__name__}: pass a tensor, e.g. torch.as_tensor(inputs)")
    check_dense(inputs=inputs)
    if inputs.is_complex() or not inputs.is_floating_point():
        way_out = "torch.view_as_real(inputs)" if inputs.is_complex() else "inputs.float() / 255"
        raise ValueError(f"inputs are {inputs.dtype}: input gradients need floats, e.g. {way_out}")
    if inputs.itemsize == 1:
        raise ValueError(f"inputs are {inputs.dtype}, in which torch computes nothing: pass inputs.float()")
    if not inputs.dim() or not len(inputs):
        raise ValueError(
            f"inputs have shape {tuple(inputs.shape)}, expected (batch, ...): a loss is a mean over at least one input"
        )


def check_dense(**tensors: object) -> None:
    """Raises ValueError for tensors that are sparse, nested, quantized, or without values (on `meta`)."""
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            continue
        if tensor.is_nested:
            raise ValueError(f"{name} of a nested tensor have no single shape: pass {name}.to_padded_tensor(0)")
        if tensor.layout != torch.strided:
            raise ValueError(f"{name} of layout {tensor.layout} are not dense: pass {name}.to_dense()")
        if tensor.is_quantized:
            raise ValueError(f"{name} of {tensor.dtype} are quantized: pass {name}.dequantize()")
        if tensor.is_meta:
            raise ValueError(f"{name} on the device meta have no values: make them on another device")


def check_device(device: torch.device, of: str, **tensors: Tensor) -> None:
    """Raises ValueError for tensors that lie on another device than `of`."""
    for name, tensor in tensors.items():
        if tensor.device != device:
            raise ValueError(f"{name} on {tensor.device}, {of} on {device}: pass {name}.to({str(device)!r})")


def check_finite_logits(model: Model, logits: Float[Tensor, "batch classes"]) -> None:
    """Raises ValueError for logits whose softmax is NaN; minus infinity, a class that is ruled out, is a logit."""
    wrong = logits.detach().log_softmax(1).isnan().any(1)
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        raise ValueError(
            f"{name_of(model)} gives logits {_few(logits[row])} for input {row} of the batch, which is finite: look "
            "for weights that training has made NaN (lower the learning rate), and for a root, a logarithm or a "
            "division in the model"
        )


def check_finite_gradient(model: Model, gradient: Float[Tensor, "batch *features"]) -> None:
    """Raises ValueError for an input gradient that is not finite."""
    wrong = ~torch.isfinite(gradient.detach())[:, None].flatten(1).all(1)
    if bool(wrong.any()):
        raise ValueError(
            f"the input gradient of {name_of(model)} is not finite for input {int(wrong.nonzero()[0])} of the batch: "
            "look for a root, a norm or a division at 0 in the model, and add a small number there"
        )


def _few(values: Float[Tensor, "n"]) -> str:
    """The first three values."""
    said = ", ".join(f"{value:g}" for value in values[:3].tolist())
    return f"[{said}{', ...' if len(values) > 3 else ''}]"


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
    """Warns of pixels in 0..255: a penalty of input gradients is 65,025 times smaller than in [0, 1].

    Pixels that were resized or blended are no whole numbers, so images in that range are enough for a warning.
    """
    values = inputs.detach()
    if (largest := float(values.amax())) <= BYTES:
        return
    whole = torch.equal(values, values.round())
    if whole or (values.dim() == IMAGES and largest <= BRIGHTEST and float(values.amin()) >= 0):
        warnings.warn(
            f"inputs are {'whole numbers' if whole else 'images with values'} up to {largest:g}: are they pixels in "
            "0..255? A penalty of input gradients is then 65,025 times smaller than in [0, 1]: divide them by 255, or "
            "raise the strength",
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
