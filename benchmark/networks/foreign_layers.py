"""BatchNorm, dropout, activations in place: how modules that were written for other loops are trained here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

BatchNorm = Literal["frozen", "group"]
WAYS_OUT = (
    'batch_norm = "frozen" keeps the running statistics as they are (for given weights), '
    'batch_norm = "group" takes GroupNorm in its place (for training from scratch)'
)
MOST_GROUPS, LEAST_CHANNELS = 32, 4
"""Of a GroupNorm (as in Wu and He 2018, arxiv.org/abs/1803.08494), and of a group: a single channel loses its mean."""


def settle_batch_norm(module: nn.Module, how: BatchNorm | None) -> nn.Module:
    """Freezes the statistics of every BatchNorm of a module, or puts GroupNorm in its place; returns the module.

    Frozen, the running statistics are constants and the affine parameters train. A GroupNorm has at most 32
    groups of equally many channels, 4 or more where there are, and the affine parameters of the BatchNorm.

    Raises:
        ValueError: the module has BatchNorm and nothing is said, or has none and something is said.
    """
    named = [name for name, part in module.named_modules() if isinstance(part, _BatchNorm)]
    if named and how is None:
        example = f"{named[0]} and {len(named) - 1} more" if len(named) > 1 else named[0] or type(module).__name__
        raise ValueError(f"BatchNorm ({example}) makes logits depend on the other inputs of a batch: {WAYS_OUT}")
    if how is not None and not named:
        raise ValueError(f"batch_norm = {how!r}, but the network has no BatchNorm: leave batch_norm out")
    if how == "frozen":
        for name in named:
            part = module.get_submodule(name)
            if part.running_mean is None:
                raise ValueError(f'{name} keeps no running statistics to freeze: take batch_norm = "group"')
            part.eval()
        return module
    return replaced(module, _group_norm)


class HardSigmoid(nn.Module):
    """Computes nn.Hardsigmoid, min(max(x + 3, 0), 6) / 6, which in PyTorch has no second derivative."""

    def forward(self, hidden: Float[Tensor, "batch *features"]) -> Float[Tensor, "batch *features"]:
        return F.relu6(hidden + 3) / 6


def twice_differentiable(module: nn.Module) -> nn.Module:
    """Replaces layers that PyTorch cannot differentiate twice by layers that compute the same; returns the module."""
    return replaced(out_of_place(module), lambda part: HardSigmoid() if type(part) is nn.Hardsigmoid else None)


def out_of_place(module: nn.Module) -> nn.Module:
    """Lets activations write into tensors of their own, which a second derivative needs; returns the module.

    Layers of torch and torchvision alone: what `inplace` means in another layer is not known.
    """
    for part in module.modules():
        if type(part).__module__.startswith(("torch.nn.", "torchvision.")) and getattr(part, "inplace", False) is True:
            part.inplace = False  # pyrefly: ignore
    return module


def without_draws(module: nn.Module) -> nn.Module:
    """Sets the probability of every dropout layer and of stochastic depth to 0; returns the module.

    A run's seed does not fix what a forward pass draws, and runs of a stack would draw other numbers than alone.
    """
    for part in module.modules():
        if isinstance(part, nn.modules.dropout._DropoutNd) or type(part).__name__ == "StochasticDepth":
            part.p = 0.0  # pyrefly: ignore
        for name in ("dropout", "attention_dropout"):  # probabilities of attention layers
            if isinstance(getattr(part, name, None), float):
                setattr(part, name, 0.0)
    return module


def replaced(module: nn.Module, other: Callable[[nn.Module], nn.Module | None]) -> nn.Module:
    """The module with every part for which `other` gives a module replaced by that module."""
    if (new := other(module)) is not None:
        return new
    for name, child in module._modules.items():  # `named_children` names a module in two places once
        if child is not None and (new := replaced(child, other)) is not child:
            setattr(module, name, new)
    return module


def groups(channels: int) -> int:
    """The largest number of groups that divides the channels, up to 32, of 4 channels or more; else 1."""
    most = max(1, min(MOST_GROUPS, channels // LEAST_CHANNELS))
    return next(count for count in range(most, 0, -1) if channels % count == 0)


def _group_norm(part: nn.Module) -> nn.Module | None:
    if not isinstance(part, _BatchNorm):
        return None
    norm = nn.GroupNorm(groups(part.num_features), part.num_features, part.eps, part.affine)
    if part.affine:
        norm.weight, norm.bias = part.weight, part.bias
    return norm
