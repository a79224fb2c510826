"""Grad-CAM that stays differentiable (Selvaraju et al. 2017)."""

from __future__ import annotations

from functools import reduce
from itertools import dropwhile, takewhile

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import grad

from .gradients import Target
from .network import BoundLayer, Net, layers_of

EPSILON = 1e-8
ENDS_MAPS = (nn.Flatten, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
"""Layers whose outputs are not feature maps over the input any more."""


def gradcam(
    net: Net,
    inputs: Float[Tensor, "batch channels rows columns"],
    target: Target,
    constant_weights: bool = False,
) -> tuple[Float[Tensor, "batch rows columns"], Float[Tensor, "batch classes"]]:
    """Computes Grad-CAM of the last convolutional feature maps F, in [0, 1] at the inputs' resolution, and the logits.

        L_n = sum_c F_nc * mean_ij d target(z_n) / dF_ncij,    (L_n - min L_n) / (max L_n - min L_n)

    L is signed, as in the XIL typology: no ReLU is applied, so that no map is all zeros. The map is enlarged by
    repeating its pixels.

    Args:
        constant_weights: whether the maps' weights, the means over ij above, are treated as constants. A loss on L then
            trains the layers below the maps and not the layers above.

    Raises:
        ValueError: the network has no convolution.
    """
    below, above = split_at_last_maps(net)
    maps = reduce(lambda hidden, layer: layer(hidden), below, inputs)

    def summed(maps: Tensor) -> tuple[Tensor, Tensor]:
        logits = reduce(lambda hidden, layer: layer(hidden), above, maps)
        return target(logits).sum(), logits

    gradient, logits = grad(summed, has_aux=True)(maps)
    weights = gradient.mean((2, 3), keepdim=True)
    cam = (maps * (weights.detach() if constant_weights else weights)).sum(1)
    low, high = cam.amin((1, 2), keepdim=True), cam.amax((1, 2), keepdim=True)
    return enlarged((cam - low) / (high - low + EPSILON), inputs.shape[2:]), logits


def split_at_last_maps(net: Net) -> tuple[list[BoundLayer], list[BoundLayer]]:
    """Splits the layers in two: up to the last feature maps, and from the flattening or global pooling on.

    Raises:
        ValueError: no layer has a convolution.
    """
    if obstacle := without_maps(net.module):
        raise ValueError(obstacle)
    layers = list(net.layers)
    after_convolutions = list(takewhile(lambda layer: not _has_convolution(layer.module), reversed(layers)))[::-1]
    above = list(dropwhile(lambda layer: not isinstance(layer.module, ENDS_MAPS), after_convolutions))
    return layers[: len(layers) - len(above)], above


def without_maps(module: nn.Module) -> str:
    """Why Grad-CAM has nothing to look at in this network; empty if a layer's output are a convolution's maps.

    Not so in a vision transformer, whose convolution makes tokens, and in a module that is one layer as a whole.
    """
    layers = layers_of(module)
    convolutional = [i for i, layer in enumerate(layers) if _has_convolution(layer)]
    if convolutional and any(isinstance(layer, ENDS_MAPS) for layer in layers[convolutional[-1] + 1 :]):
        return ""
    if convolutional:
        return (
            "Grad-CAM needs a convolution's feature maps as the output of a layer of `features`, with flattening or "
            f"global pooling as a later layer: the layers after {layers[convolutional[-1]].__class__.__name__} have "
            "none. Use a mitigation that needs no feature maps, such as rrr, or a network that is split layer by layer"
        )
    return (
        f"Grad-CAM needs a convolution's feature maps, which {type(module).__name__} of "
        f"{', '.join(type(layer).__name__ for layer in layers)} has not: use lenet or resnet18, "
        "or a mitigation that needs no convolutions, such as rrr"
    )


def _has_convolution(layer: nn.Module) -> bool:
    return any(isinstance(part, nn.Conv2d) for part in layer.modules())


def enlarged(cam: Float[Tensor, "batch rows columns"], size: torch.Size) -> Float[Tensor, "batch high wide"]:
    """The map resized to `size` by nearest neighbour."""
    rows, columns = (
        torch.arange(new, device=cam.device) * old // new for new, old in zip(size, cam.shape[1:], strict=True)
    )
    return cam[:, rows][:, :, columns]
