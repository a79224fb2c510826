"""Checks that a model's logits for an input depend on this input, and on no other input of its batch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import MethodType
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

Model = Callable[[Tensor], Tensor]
"""A module, or a function of the inputs; gives logits."""
_CHECKED: WeakKeyDictionary[object, set[bool]] = WeakKeyDictionary()
"""The modes, training or not, in which a model's independence has been checked."""
_WAY_OUT = (
    "so that an input's penalty depends on the company that it keeps: replace batch statistics by GroupNorm, or by "
    "nn.BatchNorm2d with running statistics; look for a mean, a sort or attention over the batch's axis"
)


def modules_of(model: Model) -> list[nn.Module]:
    """The modules of a model: of a module or of its bound method; none of another function."""
    owner = model.__self__ if isinstance(model, MethodType) else model
    return list(owner.modules()) if isinstance(owner, nn.Module) else []


def check_independence(
    model: Model, leaf: Float[Tensor, "batch *features"], logits: Float[Tensor, "batch classes"]
) -> None:
    """Checks a model once in each mode: by a gradient across inputs, and by the first two inputs' logits alone.

    Args:
        leaf: the inputs, which require gradients.
        logits: the model's output for `leaf`.

    Raises:
        ValueError: logits of an input that depend on another input.
    """
    owner = model.__self__ if isinstance(model, MethodType) else model
    mode = any(module.training for module in modules_of(model))
    if len(leaf) < 2 or mode in _CHECKED.get(owner, ()):
        return
    if _reaches_others(leaf, logits) or _differs_alone(model, leaf.detach(), logits.detach()):
        raise ValueError(f"{name_of(model)} couples the inputs of a batch, {_WAY_OUT}")
    if len(leaf) > 2:
        _CHECKED.setdefault(owner, set()).add(mode)


def warn_of_no_gradient(model: Model, gradient: Float[Tensor, "batch *features"]) -> None:
    """Warns by the model's name if no input has a gradient: its penalty is 0 whatever the model looks at."""
    if not bool(gradient.any()):
        warnings.warn(
            f"the input gradient of {name_of(model)} is exactly 0, and so is its penalty: look for round(), a "
            "comparison or detach() in the model (a last layer of zeros has no gradient either, until its first step)",
            stacklevel=3,
        )


def written_into(given: Shaped[Tensor, "*shape"], before: Shaped[Tensor, "*shape"]) -> bool:
    """Whether a forward pass has written into its inputs.

    Args:
        given: a fresh copy of `before`, which a model has taken.
        before: the inputs.
    """
    return given._version > 0 or not torch.equal(given, before)  # the second where NumPy has written


def name_of(model: Model) -> str:
    """The class of a module, the name of a function."""
    return getattr(model, "__qualname__", type(model).__name__)


def _reaches_others(leaf: Tensor, logits: Tensor) -> bool:
    """Whether the first input's logits have a gradient with respect to another input."""
    weights = torch.linspace(1, 2, logits.shape[1], dtype=logits.dtype, device=logits.device)
    if not logits.requires_grad:
        return False
    first = (logits[0] * weights).sum()
    (gradient,) = torch.autograd.grad(first, leaf, retain_graph=True, allow_unused=True)
    if gradient is None:
        return False
    return bool(gradient[1:].abs().max() > 1e-6 * gradient[0].abs().max())


@torch.no_grad()
def _differs_alone(model: Model, inputs: Tensor, logits: Tensor) -> bool:
    """Whether the first two inputs have other logits alone than in their batch; False for a model that draws."""
    if len(inputs) < 3:
        return False
    modules = modules_of(model)
    buffers = [(buffer, buffer.clone()) for module in modules for buffer in module.buffers(recurse=False)]
    training = [module for module in modules if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training]
    try:
        for module in training:
            module.eval()
        with torch.random.fork_rng([inputs.device] if inputs.is_cuda else []):
            alone, again = model(inputs[:2]), model(inputs[:2])
    except (RuntimeError, ValueError, IndexError):  # a model of batches of one size
        return False
    finally:
        for module in training:
            module.train()
        for buffer, before in buffers:
            if not torch.equal(buffer, before):  # a copy would spoil the graph that holds the buffer
                buffer.copy_(before)
    if alone.shape != logits[:2].shape or not torch.equal(alone, again):
        return False
    tolerance = {torch.float64: 1e-6, torch.float32: 1e-2}.get(logits.dtype, 0.1)  # convolutions round by batch size
    return bool((alone - logits[:2]).abs().max() > tolerance * logits.abs().max())
