"""Takes a network as its owner has it, or refuses it before anything is measured."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...methods.explainers.base import ForwardFunction, evaluating, undisturbed_draws
from ...methods.independence import written_into

Normalization = Literal["imagenet"] | tuple[Sequence[float], Sequence[float]]
"""Mean and standard deviation of each channel, in [0, 1]."""
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Of torchvision's pretrained networks (pytorch.org/vision/stable/models.html)."""
TOLERANCE = 1e-3
"""Share of the largest logit by which rounding may move a logit when the batch is another."""


class NotJudged(ValueError):
    """A network that cannot be evaluated as it is; the message says why, and the way out."""


@dataclass(frozen=True)
class Judged:
    """A network in evaluation mode.

    Attributes:
        network: from images in [0, 1] to logits.
        device: of its parameters, and so of the inputs.
        dtype: likewise.
        differentiable: gradients of its logits reach its inputs; without them no saliency is measured.
    """

    network: ForwardFunction
    device: torch.device
    dtype: torch.dtype
    differentiable: bool


class Normalize(nn.Module):
    """(x - mean) / std by channel, before a network that was trained on such inputs.

    Raises:
        NotJudged: mean and std of another number of channels than the inputs', or a std that is not positive.
    """

    def __init__(self, normalization: Normalization, channels: int, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        wrong = f"normalize = {normalization!r} does not fit inputs of {channels} channels: give mean and standard "
        wrong += f"deviation, {channels} numbers each, the deviations above 0, or 'imagenet' for 3 channels"
        try:
            mean, std = (
                torch.as_tensor(values, dtype=dtype, device=device)
                for values in (IMAGENET if normalization == "imagenet" else normalization)
            )
        except (TypeError, ValueError, RuntimeError) as error:
            raise NotJudged(wrong) from error
        if {mean.shape, std.shape} != {(channels,)} or not bool((std > 0).all()):
            raise NotJudged(wrong)
        self.mean, self.std = mean[:, None, None], std[:, None, None]

    def forward(self, inputs: Float[Tensor, "batch channels rows columns"]) -> Tensor:
        return (inputs - self.mean) / self.std


class Copy(nn.Module):
    """A copy of the inputs, before a network that writes into them."""

    def forward(self, inputs: Float[Tensor, "batch *features"]) -> Tensor:
        return inputs.clone()


def judged(
    model: ForwardFunction, probe: Float[Tensor, "batch *features"], classes: int, normalize: Normalization | None
) -> Judged:
    """The network, once it has shown on a few inputs that it gives each its logits.

    Args:
        probe: some inputs, in [0, 1].
        normalize: what the network was trained with and does not do itself.

    Raises:
        NotJudged: it is no network from inputs of this shape to that many logits, or an input's logits depend on the
            batch, on chance, or on earlier passes.
    """
    if not callable(model):
        raise NotJudged(f"{type(model).__name__} is no network: give an nn.Module, or a function from images to logits")
    device, dtype = _place(model)
    probe, network = probe.to(device, dtype), model
    if normalize is not None:
        before = Normalize(normalize, probe.shape[1] if probe.dim() == 4 else 0, device, dtype)
        network = _in_sequence(before, model)
    elif _writes(model, probe):
        network = _in_sequence(Copy(), model)
    _require_logits(network, probe, classes, _named(model))
    return Judged(network, device, dtype, _differentiable(network, probe[:1]))


def _place(model: ForwardFunction) -> tuple[torch.device, torch.dtype]:
    """Where the network computes, and in which type; float32 on the CPU for a function without parameters."""
    if not isinstance(model, nn.Module):
        return torch.device("cpu"), torch.float32
    every = [tensor for tensor in chain(model.parameters(), model.buffers()) if tensor.is_floating_point()]
    if len(devices := {tensor.device for tensor in every}) > 1:
        raise NotJudged(f"{_named(model)} is spread over {', '.join(sorted(map(str, devices)))}: move it to one device")
    return (every[0].device, every[0].dtype) if every else (torch.device("cpu"), torch.float32)


def _differentiable(network: ForwardFunction, inputs: Tensor) -> bool:
    """Not so for a function that leaves PyTorch on the way, or computes without gradients."""
    with evaluating(network), undisturbed_draws(inputs.device), torch.enable_grad():
        try:
            leaf = inputs.clone().requires_grad_()
            torch.autograd.grad(network(leaf).sum(), leaf)
        except RuntimeError:
            return False
    return True


def _writes(model: ForwardFunction, probe: Tensor) -> bool:
    """Whether the network writes into its inputs, which are the dataset's own."""
    given = probe.clone()
    with evaluating(model), undisturbed_draws(probe.device), torch.no_grad(), suppress(Exception):  # said afterwards
        model(given)
    return written_into(given, probe)


def _in_sequence(before: nn.Module, model: ForwardFunction) -> ForwardFunction:
    if isinstance(model, nn.Module):
        return nn.Sequential(OrderedDict(before=before, model=model))
    return lambda inputs: model(before(inputs))


def _require_logits(network: ForwardFunction, inputs: Tensor, classes: int, name: str) -> None:
    with ExitStack() as stack:
        for context in (evaluating(network), undisturbed_draws(inputs.device), torch.no_grad()):
            stack.enter_context(context)
        try:
            logits = network(inputs)
        except Exception as error:
            raise NotJudged(
                f"{name} fails on inputs {tuple(inputs.shape)} of {inputs.dtype} in [0, 1]: {error}. Does it expect "
                "another size or number of channels, or a normalisation (normalize=)?"
            ) from error
        if not isinstance(logits, Tensor):
            raise NotJudged(
                f"{name} gives a {type(logits).__name__}, not a tensor of logits: pass a function that takes them out, "
                "e.g. lambda images: model(images).logits"
            )
        if logits.shape != (len(inputs), classes):
            raise NotJudged(_of_shape(name, tuple(logits.shape), len(inputs), classes))
        if not logits.is_floating_point() or not bool(torch.isfinite(logits).all()):
            kind = "values that are not finite" if logits.is_floating_point() else f"{logits.dtype}"
            raise NotJudged(f"{name} gives {kind} for inputs in [0, 1]: give finite logits")
        if bool((logits >= 0).all()) and torch.allclose(logits.sum(1), torch.ones_like(logits[:, 0]), atol=1e-3):
            raise NotJudged(f"{name} gives probabilities: give logits, by leaving the softmax out, or by their log")
        scale = float(logits.abs().max())
        if not torch.allclose(network(inputs), logits, rtol=0, atol=TOLERANCE * scale + 1e-8):
            raise NotJudged(
                f"{name} gives other logits for the same inputs again: let it draw no random numbers (dropout in a "
                "function's network: call its eval() first) and keep nothing from pass to pass"
            )
        few, last = network(inputs[:2]), network(inputs[-2:].flip(0)).flip(0)
        if not torch.allclose(
            torch.cat([few, last]), torch.cat([logits[:2], logits[-2:]]), rtol=0, atol=TOLERANCE * scale + 1e-8
        ):
            raise NotJudged(
                f"{name} gives an input other logits beside other inputs: BatchNorm with statistics of the batch (call "
                "eval() first, or give it running statistics), or a recurrent layer or attention that takes the first "
                "axis for time (batch_first=True)"
            )


def require_finite(logits: Float[Tensor, "n classes"], split: str) -> None:
    """Refuses logits of a split that are NaN or infinite: they have no largest one, and no prediction."""
    wrong = ~logits.isfinite().all(1)
    if bool(wrong.any()):
        first = int(wrong.to(torch.uint8).argmax())
        raise NotJudged(
            f"the logits of {int(wrong.sum())} of {len(logits)} inputs of {split!r} are not finite, input {first} the "
            "first: give finite logits for every image, black ones too (a division by an image's own maximum or "
            "deviation is not finite there)"
        )


def _of_shape(name: str, shape: tuple[int, ...], inputs: int, classes: int) -> str:
    if len(shape) == 1 or shape[1:] == (1,):
        way_out = "of two classes give two logits, e.g. torch.cat([-z, z], 1) / 2 of a single logit z"
    elif len(shape) == 2:
        way_out = "take a network of these classes, or a function that picks their logits"
    else:
        way_out = "give one row of logits an input"
    return f"{name} gives {shape} for {inputs} inputs of {classes} classes, expected ({inputs}, {classes}): {way_out}"


def _named(model: ForwardFunction) -> str:
    return getattr(model, "__name__", type(model).__name__)
