"""Insertion and deletion (Petsiuk, Das, Saenko 2018, arxiv.org/abs/1806.07421).

    deletion  = integral over s in [0, 1] of p(image without the share s of the pixels with the largest attributions)
    insertion = integral over s in [0, 1] of p(blurred image with that share of the image's own pixels)

p is the model's probability of the class. A faithful attribution has a low deletion and a high insertion.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ....methods.explainers.base import evaluating

Curve = list[tuple[float, float]]
"""Shares of pixels, and the probability of the class with so many changed."""
AT_ONCE = 64


def deletion(
    attributions: Float[Tensor, "*#channels rows columns"],
    transformed_img: Float[Tensor, "channels rows columns"],
    model: nn.Module,
    chosen_class: int,
    steps_num: int = 30,
) -> tuple[float, Curve]:
    """The area under the class's probability while the image's mean replaces its pixels, and the curve itself.

    Pixels go by their attribution, the largest first; channels are summed, ties go in the order of reading.

    Raises:
        ValueError: attributions of another size, a class that the model has not, no step.
    """
    mean = transformed_img.mean().expand_as(transformed_img)
    return _curve(attributions, transformed_img, mean, model, chosen_class, steps_num)


def insertion(
    attributions: Float[Tensor, "*#channels rows columns"],
    transformed_img: Float[Tensor, "channels rows columns"],
    model: nn.Module,
    chosen_class: int,
    kernel: tuple[int, int] = (101, 101),
    steps_num: int = 30,
) -> tuple[float, Curve]:
    """The area under the class's probability while the image's pixels replace a blurred image's, and the curve itself.

    Args:
        kernel: columns and rows of the Gaussian; as large as the image allows, where it is smaller.

    Raises:
        ValueError: as `deletion`.
    """
    from torchvision.transforms.functional import gaussian_blur

    rows, columns = transformed_img.shape[-2:]
    fitting = [min(size, 2 * side - 1) for size, side in zip(kernel, (columns, rows), strict=True)]
    blurred = gaussian_blur(transformed_img, fitting)
    return _curve(attributions, blurred, transformed_img, model, chosen_class, steps_num)


def _curve(
    attributions: Tensor, begin: Tensor, end: Tensor, model: nn.Module, chosen_class: int, steps: int
) -> tuple[float, Curve]:
    """From one image to the other, the pixels with the largest attributions first."""
    attributions = attributions.detach().to(begin.device)
    flat = attributions.reshape(-1, *attributions.shape[-2:]).sum(0)
    if flat.shape != begin.shape[-2:]:
        raise ValueError(
            f"attributions of {tuple(attributions.shape)} for an image of {tuple(begin.shape)}: enlarge them first"
        )
    if steps < 1:
        raise ValueError(f"steps_num = {steps}: give at least 1")
    pixels = flat.numel()
    rank = flat.flatten().argsort(descending=True, stable=True).argsort().reshape(flat.shape)
    counts = torch.linspace(0, pixels, min(steps, pixels) + 1, device=begin.device).round()
    images = torch.where(rank < counts[:, None, None, None], end, begin)
    with evaluating(model), torch.no_grad():
        logits = torch.cat([model(chunk) for chunk in images.split(AT_ONCE)])
    if not 0 <= chosen_class < logits.shape[1]:
        raise ValueError(f"chosen_class = {chosen_class}, expected 0..{logits.shape[1] - 1}: the model has no other")
    probabilities = logits.softmax(1)[:, chosen_class].double()
    shares = (counts / pixels).double()
    area = torch.trapezoid(probabilities, shares).item()
    return area, list(zip(shares.tolist(), probabilities.tolist(), strict=True))
