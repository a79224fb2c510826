"""Access to a network's layers for captum: a private copy as a module, and its convolutions."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

from ...datasets.registry import nearest
from ..network import Net
from .base import ForwardFunction


def as_module(network: ForwardFunction) -> nn.Module:
    """Copies the network in evaluation mode; shares the parameters' memory, but no hooks.

    In the copy, ReLUs work out of place and no two modules share a tensor. Otherwise captum 0.9 would give the first of
    two neighbouring nonlinear layers a gradient from before the rule of the second layer (issue 1104 of captum).

    Raises:
        TypeError: the network is a function without layers.
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
    """Finds the layer of that dotted name; without a name, finds the convolution that is applied last.

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
            f"{type(module).__name__} has no convolution to take feature maps from: name a layer, or take an explainer "
            "that needs no feature maps, such as integrated_gradients"
        )
    return applied[-1]


def over_inputs(
    maps: Float[Tensor, "batch channels high wide"], inputs: Float[Tensor, "batch colors rows columns"]
) -> Float[Tensor, "batch colors rows columns"]:
    """Sums maps over channels and enlarges the sum bilinearly to the inputs' size, for all input channels alike.

    Raises:
        ValueError: the layer's output is not feature maps, or the inputs are not images.
    """
    if maps.dim() != 4 or inputs.dim() != 4:
        raise ValueError(
            f"a layer's output of {tuple(maps.shape)} does not lie over inputs of {tuple(inputs.shape)}: name a "
            "convolution, or give images"
        )
    enlarged = F.interpolate(maps.detach().sum(1, keepdim=True), inputs.shape[2:], mode="bilinear", align_corners=False)
    return enlarged.expand_as(inputs)


COMPLETE = 1e-3
"""Share of an input's absolute attributions by which their sum may miss the logits' difference; rounding is less."""


def incomplete(attributions: Sequence[Float[Tensor, "batch ..."]], delta: Float[Tensor, "batch"]) -> bool:
    """Whether the sum of an input's attributions misses the logits' difference by more than rounding.

    Args:
        attributions: of each of a layer's outputs; of inputs a single tensor.
        delta: the sum less the difference, as captum returns it.
    """
    size = torch.stack([part.detach().abs().flatten(1).sum(1) for part in attributions]).sum(0)
    return bool((delta.detach().abs() > COMPLETE * size + 1e-6).any())


def caution_incomplete(explainer: str, delta: Float[Tensor, "batch"]) -> None:
    """Warns of attributions that do not sum to the difference of the logits (see `incomplete`)."""
    warnings.warn(
        f"{explainer}: attributions do not sum to the difference of the logits, by {delta.detach().abs().max():.3g} "
        "for one input: a nonlinearity of the network is no module with a rule in captum (F.relu, GELU, attention) and "
        "was passed by its gradient. Use modules such as nn.ReLU, or integrated gradients",
        stacklevel=2,
    )


class Functions(TorchDispatchMode):
    """Gives every operation of a pass that is not computed within certain modules to `seen`.

    Args:
        within: the modules whose own operations are left out.
        seen: is given the operation's name, its float arguments as they were before, and its output.
    """

    def __init__(self, within: Iterable[nn.Module], seen: Callable[[str, list[Tensor], Any], object]) -> None:
        super().__init__()
        self.within, self.seen, self.depth = list(within), seen, 0
        self.handles: list[RemovableHandle] = []

    def __enter__(self) -> Self:
        for module in self.within:
            self.handles.append(module.register_forward_pre_hook(lambda *_: self._go(1)))
            self.handles.append(module.register_forward_hook(lambda *_: self._go(-1), always_call=True))
        return super().__enter__()

    def __exit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        super().__exit__(exc_type, exc_val, exc_tb)
        for handle in self.handles:
            handle.remove()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.depth:
            return func(*args, **(kwargs or {}))
        given = [value.clone() for value in args if isinstance(value, Tensor) and value.is_floating_point()]
        output = func(*args, **(kwargs or {}))
        self.seen(func.overloadpacket.__name__, given, output)
        return output

    def _go(self, step: int) -> None:
        self.depth += step


def caution_functional_relus(explainer: str, module: nn.Module, inputs: Float[Tensor, "batch *features"]) -> None:
    """Warns if rectifiers are computed outside of `nn.ReLU` modules, whose gradient alone captum replaces."""
    functions, calls = [], []

    def seen(name: str, given: list[Tensor], output: Any) -> None:
        if name in ("relu", "relu_") or any(_rectifies(value, output) for value in given):
            functions.append(name)

    relus = [layer for layer in module.modules() if isinstance(layer, nn.ReLU)]
    handles = [layer.register_forward_hook(lambda layer, *_: calls.append(layer)) for layer in relus]
    try:
        with torch.enable_grad(), Functions(relus, seen):
            module(differentiable(inputs[:1]))
    finally:
        for handle in handles:
            handle.remove()
    if functions:
        warnings.warn(
            f"{explainer}: {len(functions)} of {len(functions) + len(calls)} ReLUs are functions or other layers "
            f"({', '.join(sorted(set(functions)))}; such as F.relu, clamp, nn.ReLU6), which captum passes by their "
            "gradient: it replaces the gradient of nn.ReLU modules alone. Use nn.ReLU modules",
            stacklevel=2,
        )
    elif not calls:
        warnings.warn(
            f"{explainer}: the network has no ReLU whose gradient could be replaced, and the attributions are the "
            "plain gradient's: use input_gradient, or a network of nn.ReLU modules",
            stacklevel=2,
        )


def _rectifies(given: Tensor, output: Any) -> bool:
    """Whether an output is its argument without the negative values, up to a largest value: a ReLU, however written."""
    if not isinstance(output, Tensor) or output.shape != given.shape or output.dtype != given.dtype:
        return False
    if not output.numel() or not bool(given.min() < 0) or not bool((top := output.max()) > 0):
        return False
    return torch.equal(output, given.clamp(min=torch.zeros_like(top), max=top))


@contextmanager
def without_captums_warnings() -> Iterator[None]:
    """Silences captum's warning that it sets hooks: here the hooks are on a private copy."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting (forward, )?backward hooks", UserWarning)
        yield


def differentiable(inputs: Float[Tensor, "batch *features"]) -> Float[Tensor, "batch *features"]:
    """The same inputs as the leaf of a new graph."""
    return inputs.detach().requires_grad_()
