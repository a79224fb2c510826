"""Insertion and deletion (Petsiuk, Das, Saenko 2018, arxiv.org/abs/1806.07421).

    deletion  = integral over s in [0, 1] of p(image without the share s of the pixels with the largest attributions)
    insertion = integral over s in [0, 1] of p(blurred image with that share of the image's own pixels)

p is the model's probability of the class. A faithful attribution has a low deletion and a high insertion.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ....methods.explainers.base import evaluating
from .visualizer import visualize_metric

__all__ = ["deletion", "insertion", "visualize_metric"]

Curve = list[tuple[float, float]]
"""Shares of pixels, and the probability of the class with so many changed."""
AT_ONCE = 64


def deletion(
    attributions: Float[Tensor, "*#channels rows columns"],
    transformed_img: Float[Tensor, "channels rows columns"],
    model: nn.Module,
    chosen_class: int | np.integer | Tensor,
    steps_num: int = 30,
) -> tuple[float, Curve]:
    """The area under the class's probability while the image's mean replaces its pixels, and the curve itself.

    Pixels go by their attribution, the largest first; channels are summed, ties go in the order of reading.

    Args:
        chosen_class: its number, or a tensor of one number, such as `logits.argmax()`.

    Raises:
        ValueError: attributions or images of another size, NaN, a class that the model has not, no step.
        TypeError: a class or a number of steps that is no integer.
    """
    _check_image(transformed_img)
    mean = transformed_img.mean().expand_as(transformed_img)
    return _curve(attributions, transformed_img, mean, model, chosen_class, steps_num)


def insertion(
    attributions: Float[Tensor, "*#channels rows columns"],
    transformed_img: Float[Tensor, "channels rows columns"],
    model: nn.Module,
    chosen_class: int | np.integer | Tensor,
    kernel: tuple[int, int] = (101, 101),
    steps_num: int = 30,
) -> tuple[float, Curve]:
    """The area under the class's probability while the image's pixels replace a blurred image's, and the curve itself.

    Args:
        kernel: columns and rows of the Gaussian; as large as the image allows, where it is smaller.

    Raises:
        ValueError, TypeError: as `deletion`; a kernel of even or negative sides.
    """
    from torchvision.transforms.functional import gaussian_blur

    _check_image(transformed_img)
    if len(kernel) != 2 or any(_integer("kernel", size) < 1 or size % 2 == 0 for size in kernel):
        raise ValueError(f"kernel = {kernel}: give two odd numbers, columns and rows")
    rows, columns = transformed_img.shape[-2:]
    fitting = [min(size, 2 * side - 1) for size, side in zip(kernel, (columns, rows), strict=True)]
    blurred = gaussian_blur(transformed_img, fitting)
    return _curve(attributions, blurred, transformed_img, model, chosen_class, steps_num)


def _curve(
    attributions: Tensor,
    begin: Tensor,
    end: Tensor,
    model: nn.Module,
    chosen_class: int | np.integer | Tensor,
    steps: int,
) -> tuple[float, Curve]:
    """From one image to the other, the pixels with the largest attributions first."""
    rank = _ranks(attributions.detach().to(begin.device), begin)
    if _integer("steps_num", steps) < 1:
        raise ValueError(f"steps_num = {steps}: give at least 1")
    pixels = rank.numel()
    counts = torch.linspace(0, pixels, min(steps, pixels) + 1, device=begin.device).round()
    images = torch.where(rank < counts[:, None, None, None], end.detach(), begin.detach())
    with evaluating(model), torch.no_grad():
        logits = torch.cat([_logits(model, chunk) for chunk in images.split(AT_ONCE)])
    place = _integer("chosen_class", chosen_class)
    if not 0 <= place < logits.shape[1]:
        raise ValueError(f"chosen_class = {place}, expected 0..{logits.shape[1] - 1}: the model has no other")
    probabilities = logits.softmax(1)[:, place].double()
    shares = (counts / pixels).double()
    area = torch.trapezoid(probabilities, shares).item()
    return area, list(zip(shares.tolist(), probabilities.tolist(), strict=True))


def _ranks(attributions: Tensor, image: Tensor) -> Tensor:
    """Each pixel's place in the order of the attributions."""
    flat = attributions.reshape(-1, *attributions.shape[-2:]).sum(0)
    if flat.shape != image.shape[-2:]:
        raise ValueError(
            f"attributions of {tuple(attributions.shape)} for an image of {tuple(image.shape)}: enlarge them first"
        )
    if attributions.dim() > 3:
        raise ValueError(
            f"attributions of {tuple(attributions.shape)}: give those of one image, for example attributions[0]"
        )
    if not bool(flat.isfinite().all()):
        raise ValueError("attributions hold NaN or infinity, by which no pixel is ranked: give finite numbers")
    return flat.flatten().argsort(descending=True, stable=True).argsort().reshape(flat.shape)


def _logits(model: nn.Module, images: Tensor) -> Tensor:
    logits = model(images)
    if not isinstance(logits, Tensor) or logits.dim() != 2:
        shape = f"a tensor of {tuple(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise ValueError(f"the model returns {shape}: give a model that returns logits (images, classes)")
    if logits.shape[1] == 1:
        raise ValueError(
            "the model has one logit, whose softmax is 1 for every image: give a model of two, for example "
            "torch.cat([-logit, logit], 1)"
        )
    if bool(logits.softmax(1).isnan().any()):
        raise ValueError(
            "the model returns no probabilities (NaN) for this image: check its parameters and the image's scale"
        )
    return logits


def _check_image(image: Tensor) -> None:
    if image.dim() != 3:
        raise ValueError(
            f"transformed_img has shape {tuple(image.shape)}: give one image of (channels, rows, columns), for example "
            "images[0]"
        )
    if not bool(image.isfinite().all()):
        raise ValueError("transformed_img holds NaN or infinity: give finite numbers")


def _integer(name: str, value: Any) -> int:
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise TypeError(f"{name} = {value!r}: give an integer")
    return int(value)
