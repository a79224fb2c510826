"""Checks that a model's logits for an input depend on this input, and on no other input of its batch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MethodType
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

Model = Callable[[Tensor], Tensor]
"""A module, or a function of the inputs; gives logits."""
_CALLS: WeakKeyDictionary[object, dict[bool, int]] = WeakKeyDictionary()
"""By mode, training or not: calls since the check first saw a model's logits depend on its inputs."""
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
    """Checks a model by a gradient across inputs, and by the logits of the first and the last input alone.

    In each mode, training or not, the check is made at the 1st, 2nd, 4th, 8th, ... call: a branch that begins at zero
    hides what it couples until it has been trained. Calls count from the first whose logits depend on the inputs, which
    those of a last layer of zeros do not.

    Args:
        leaf: the inputs, which require gradients.
        logits: the model's output for `leaf`.

    Raises:
        ValueError: logits of an input that depend on another input.
    """
    owner = model.__self__ if isinstance(model, MethodType) else model
    mode = any(module.training for module in modules_of(model))
    counted = _calls(owner)
    calls = counted.get(mode, 0) + 1
    dependent = True
    if len(leaf) > 1 and calls & (calls - 1) == 0:
        own, across = _reach(leaf, logits)
        if across > 1e-6 * own or _differs_alone(model, leaf.detach(), logits.detach()):
            raise ValueError(f"{name_of(model)} couples the inputs of a batch, {_WAY_OUT}")
        dependent = own > 0
    if len(leaf) > 2 and dependent:
        counted[mode] = calls


@contextmanager
def unchanged(model: Model, inputs: Tensor) -> Iterator[None]:
    """Forward passes that leave the model's buffers and the generators of the inputs' device as they were."""
    buffers = [(buffer, buffer.clone()) for module in modules_of(model) for buffer in module.buffers(recurse=False)]
    try:
        with torch.random.fork_rng([inputs.device] if inputs.is_cuda else []):
            yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                if not torch.equal(buffer, before):  # a copy would spoil the graph that holds the buffer
                    buffer.copy_(before)


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


def _calls(owner: object) -> dict[bool, int]:
    """The calls of a model by mode; none of a model that cannot be a key, such as a dataclass: it is checked always."""
    try:
        return _CALLS.setdefault(owner, {})
    except TypeError:
        return {}


def _reach(leaf: Tensor, logits: Tensor) -> tuple[float, float]:
    """The largest gradients of the first and the last input's logits: with respect to their own, and to other inputs.

    A recurrence along the batch couples all inputs but its first.
    """
    own = across = 0.0
    if not logits.requires_grad:
        return own, across
    weights = torch.linspace(1, 2, logits.shape[1], dtype=logits.dtype, device=logits.device)
    for row in (0, len(logits) - 1):
        (gradient,) = torch.autograd.grad((logits[row] * weights).sum(), leaf, retain_graph=True, allow_unused=True)
        if gradient is not None:
            largest = gradient.abs()[:, None].flatten(1).amax(1)
            own = max(own, float(largest[row]))
            largest[row] = 0
            across = max(across, float(largest.max()))
    return own, across


@torch.no_grad()
def _differs_alone(model: Model, inputs: Tensor, logits: Tensor) -> bool:
    """Whether the first and the last input have other logits without the rest; False for a model that draws."""
    if len(inputs) < 3:
        return False
    ends = [0, len(inputs) - 1]
    training = [m for m in modules_of(model) if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]
    try:
        for module in training:
            module.eval()
        with unchanged(model, inputs):
            alone, again = model(inputs[ends]), model(inputs[ends])
    except (RuntimeError, ValueError, IndexError):  # a model of batches of one size
        return False
    finally:
        for module in training:
            module.train()
    if alone.shape != logits[ends].shape or not torch.equal(alone, again):
        return False
    tolerance = {torch.float64: 1e-6, torch.float32: 1e-2}.get(logits.dtype, 0.1)  # convolutions round by batch size
    return bool((alone - logits[ends]).abs().max() > tolerance * logits.abs().max())
