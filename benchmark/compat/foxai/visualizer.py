"""FoXAI's figures: an image, and an image under its attributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F


def draw_image(
    image: Float[Tensor, "channels rows columns"],
    title: str = "",
    ax: Axes | None = None,
    figsize: tuple[float, float] = (8, 8),
) -> Figure:
    """Draws an image, scaled to its own smallest and largest value.

    Raises:
        ValueError: neither one nor three channels.
    """
    axes = _axes(ax, title, figsize)
    axes.imshow(_picture(image))
    return axes.figure  # pyrefly: ignore


def mean_channels_visualization(
    attributions: Float[Tensor, "*#channels high wide"],
    transformed_img: Float[Tensor, "channels rows columns"],
    title: str = "",
    figsize: tuple[float, float] = (8, 8),
    alpha: float = 0.5,
    only_positive_attr: bool = True,
    ax: Axes | None = None,
) -> Figure:
    """Draws the mean of the attributions over channels on the image, enlarged to it and scaled to [0, 1].

    Args:
        alpha: the opacity of the attributions.
        only_positive_attr: negative attributions are drawn as zero.

    Raises:
        ValueError: attributions of more than one image, an image of neither one nor three channels.
    """
    attributions = _values(attributions, "attributions")
    if attributions.dim() not in (2, 3):
        raise ValueError(
            f"attributions have shape {tuple(attributions.shape)}: give those of one image, for example attributions[0]"
        )
    flat = attributions.reshape(-1, *attributions.shape[-2:]).mean(0)
    flat = flat.clamp(min=0) if only_positive_attr else flat
    image = _picture(transformed_img)
    heat = F.interpolate(flat[None, None], image.shape[:2], mode="bilinear", align_corners=False)[0, 0]
    axes = _axes(ax, title, figsize)
    axes.imshow(image)
    drawn = axes.imshow(_scaled(heat.numpy()), cmap="jet", vmin=0, vmax=1, alpha=alpha)
    axes.figure.colorbar(drawn, ax=axes, label="relevance of the pixel")
    return axes.figure  # pyrefly: ignore


def single_channel_visualization(
    attributions: Float[Tensor, "channels high wide"],
    transformed_img: Float[Tensor, "channels rows columns"],
    selected_channel: int,
    title: str = "",
    figsize: tuple[float, float] = (8, 8),
    alpha: float = 0.5,
    only_positive_attr: bool = True,
    ax: Axes | None = None,
) -> Figure:
    """Draws one channel of the attributions on the image, as `mean_channels_visualization` draws the mean.

    Raises:
        ValueError: there is no such channel; and as `mean_channels_visualization`.
    """
    if not 0 <= selected_channel < len(attributions):
        raise ValueError(f"selected_channel = {selected_channel}, expected 0..{len(attributions) - 1}")
    return mean_channels_visualization(
        attributions[selected_channel], transformed_img, title, figsize, alpha, only_positive_attr, ax
    )


def visualize_metric(
    importance_lst: Sequence[tuple[float, float]] | Sequence[float],
    metric_result: float,
    metric_type: str = "Deletion",
    ax: Axes | None = None,
) -> Figure:
    """Draws the curve of `deletion` or `insertion`; FoXAI shows the figure at once, here it is returned.

    Raises:
        ValueError: the curve has no point.
    """
    if not len(importance_lst):
        raise ValueError("importance_lst is empty: give the curve that deletion or insertion returns")
    curve = np.asarray(importance_lst, dtype=float)
    shares = curve[:, 0] if curve.ndim == 2 else np.linspace(0, 1, len(curve))
    figure = Figure() if ax is None else None
    axes = ax or figure.subplots()  # pyrefly: ignore
    axes.plot(shares, curve[:, 1] if curve.ndim == 2 else curve)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="share of pixels", ylabel="probability of the class")
    axes.set_title(f"{metric_type}: {metric_result:.4f}")
    return axes.figure  # pyrefly: ignore


def _axes(ax: Axes | None, title: str, figsize: tuple[float, float]) -> Axes:
    axes = Figure(figsize=figsize).subplots() if ax is None else ax
    axes.set_title(title)
    axes.set_axis_off()
    return axes


def _values(values: Any, name: str) -> Tensor:
    """A float tensor on the CPU.

    Raises:
        ValueError: NaN or infinity.
    """
    tensor = torch.as_tensor(values).detach().cpu().float()
    if not bool(tensor.isfinite().all()):
        raise ValueError(f"{name} hold NaN or infinity: give finite numbers")
    return tensor


def _picture(image: Any) -> Float[np.ndarray, "rows columns 3"]:
    """Red, green and blue in [0, 1]; a gray channel three times."""
    tensor = _values(image, "the image's values")
    tensor = tensor[None] if tensor.dim() == 2 else tensor
    if tensor.dim() != 3 or len(tensor) not in (1, 3):
        raise ValueError(
            f"the image has shape {tuple(tensor.shape)}: give one image of (1 or 3 channels, rows, columns)"
        )
    return _scaled(tensor.expand(3, -1, -1).permute(1, 2, 0).numpy())


def _scaled(values: np.ndarray) -> np.ndarray:
    """From the smallest to the largest value; zeros if all are the same."""
    least, most = values.min(), values.max()
    return np.zeros_like(values) if most == least else (values - least) / (most - least)
