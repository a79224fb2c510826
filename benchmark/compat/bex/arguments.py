"""`Benchmark`'s arguments: each is what it says, or is refused by its name before anything is drawn or trained."""

from __future__ import annotations

from numbers import Integral, Real

import torch
from torch import nn

from ....datasets.glyphs import FONTS, SIDE
from ...counterfactuals.subject import undisturbed

AUTOMATIC = ""
"""bex's device: CUDA where there is some, else the CPU."""


def integer(name: str, value: object, least: int) -> int:
    """The value, if it is an integer of at least this.

    Raises:
        ValueError: it is not; True is none, nor is "3".
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} is {value!r}, expected an integer of {least} or more")
    return int(value)


def correlation(value: object) -> float:
    """The value, if it is a probability.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= float(value) <= 1:
        raise ValueError(f"corr_level is {value!r}, expected a probability, such as 0.95 or 0.5")
    return float(value)


def breadth(value: object) -> int:
    """The value, if it is an even number of fonts.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or int(value) not in range(2, len(FONTS) + 1, 2):
        raise ValueError(
            f"n_corr, which as the letters' breadth is {value!r}, must be an even number of fonts from 2 to "
            f"{len(FONTS)}, such as 10 or 6"
        )
    return int(value)


def device(value: str | torch.device) -> torch.device:
    """The device of this name; the automatic for "".

    Raises:
        ValueError: no such device here.
    """
    if value == AUTOMATIC:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=value).tolist()
        return torch.device(value)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise ValueError(f'device is {value!r}, which cannot be used here: give "cpu", or "" for any') from error


def check_classifier(classifier: nn.Module) -> None:
    """Raises ValueError unless the classifier maps (n, 1, 24, 24) to two finite logits."""
    if not isinstance(classifier, nn.Module):
        raise ValueError(f"classifier is {classifier!r}, expected a torch.nn.Module from images to two logits")
    parameter = next(classifier.parameters(), torch.empty(0))
    images = torch.zeros(2, 1, SIDE, SIDE, dtype=torch.float32, device=parameter.device)
    try:
        with undisturbed(classifier), torch.no_grad():
            logits = classifier(images)
    except (RuntimeError, IndexError) as error:
        raise ValueError(f"classifier does not take float32 images of (n, 1, {SIDE}, {SIDE}): {error}") from error
    shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if shape != (2, 2):
        raise ValueError(f"classifier gives {shape} for 2 images, expected (2, 2): a logit for each parity of letters")
    if not logits.isfinite().all():
        raise ValueError("classifier gives logits that are not finite: load other weights")
