"""What captum looks into: a private copy of the network as a module, and its convolutions."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.registry import nearest
from ..network import Net
from .base import Network


def as_module(network: Network) -> nn.Module:
    """A copy in evaluation mode that shares the parameters' memory: hooks on it are nobody else's.

    ReLUs work out of place in it, and no two modules share a tensor: captum 0.9 takes the gradient of the first of two
    neighbouring nonlinear layers from before the second one's rule (its issue 1104).

    Raises:
        TypeError: a function without layers.
    """
    if isinstance(network, Net):
        module, parameters = network.module, network.parameters
    elif isinstance(network, nn.Module):
        module, parameters = network, dict(network.named_parameters())
    else:
        raise TypeError(f"{network!r} has no layers to look into: give an nn.Module, or explain by outputs alone")
    constants = {
        id(parameter): nn.Parameter(parameters[name].detach(), requires_grad=False)
        for name, parameter in module.named_parameters()
    }
    copied = copy.deepcopy(module, constants).eval()
    for part in copied.modules():
        if hasattr(part, "inplace"):
            part.inplace = False  # pyrefly: ignore
        if not list(part.children()):
            part.register_forward_pre_hook(_separate)
    return copied


def _separate(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(value.clone() if isinstance(value, Tensor) else value for value in inputs)


def convolution(
    module: nn.Module, inputs: Float[Tensor, "batch channels rows columns"], name: str | None = None
) -> nn.Module:
    """The layer of that dotted name, or the convolution that is applied last.

    Raises:
        ValueError: no layer has this name, or no convolution is applied.
    """
    if name is not None:
        layers = dict(module.named_modules())
        if name not in layers:
            raise ValueError(f"no layer is called {name!r}; {nearest(name, filter(None, layers))}")
        return layers[name]
    applied: list[nn.Module] = []
    found = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    handles = [layer.register_forward_hook(lambda layer, *_: applied.append(layer)) for layer in found]
    try:
        module(inputs[:1])
    finally:
        for handle in handles:
            handle.remove()
    if not applied:
        raise ValueError(
            f"{type(module).__name__} has no convolution, whose feature maps are looked at: name a layer, or take an "
            "explainer that needs none, such as integrated_gradients"
        )
    return applied[-1]


def over_inputs(
    maps: Float[Tensor, "batch channels high wide"], inputs: Float[Tensor, "batch colors rows columns"]
) -> Float[Tensor, "batch colors rows columns"]:
    """The sum over the maps' channels, enlarged bilinearly to the inputs' size, the same for each of their channels.

    Raises:
        ValueError: what the layer gives are no maps, or the inputs no images.
    """
    if maps.dim() != 4 or inputs.dim() != 4:
        raise ValueError(
            f"a layer's output of {tuple(maps.shape)} does not lie over inputs of {tuple(inputs.shape)}: name a "
            "convolution, or give images"
        )
    enlarged = F.interpolate(maps.detach().sum(1, keepdim=True), inputs.shape[2:], mode="bilinear", align_corners=False)
    return enlarged.expand_as(inputs)


@contextmanager
def without_captums_warnings() -> Iterator[None]:
    """It warns that it sets hooks, which are on a copy here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting (forward, )?backward hooks", UserWarning)
        yield


def differentiable(inputs: Float[Tensor, "batch *features"]) -> Float[Tensor, "batch *features"]:
    """The same inputs as a leaf of a graph of their own."""
    return inputs.detach().requires_grad_()
