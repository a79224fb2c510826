"""A network with its parameters bound, as mitigations see a network: alone, or as a member of a vmapped stack."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from .convolution import convolve, is_of_zeros

Parameters = Mapping[str, Tensor]
"""Parameters by the names of `module.named_parameters()`; of a stack, with leading axes of seeds and strengths."""


class PixelRange(nn.Module):
    """Maps [0, 1] to the pixel range that a paper trained on, `low + (high - low) x`; has no parameters.

    Args:
        low, high: the values of 0 and 1 in the pixel range; tensors of an input's shape where they differ by feature.
    """

    low: Tensor
    scale: Tensor

    def __init__(self, low: float | Tensor, high: float | Tensor) -> None:
        super().__init__()
        self.register_buffer("low", torch.as_tensor(low, dtype=torch.float32), persistent=False)
        self.register_buffer("scale", torch.as_tensor(high, dtype=torch.float32) - self.low, persistent=False)

    def forward(self, inputs: Float[Tensor, "batch *features"]) -> Float[Tensor, "batch *features"]:
        return self.low.to(inputs) + self.scale.to(inputs) * inputs


class SharedLinear(nn.Linear):
    """`nn.Linear` for a first layer: runs of a stack that share a batch share a wide matrix product."""

    def forward(self, input: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch outputs"]:
        return _SharedProduct.apply(input, self.weight) + self.bias


class _SharedProduct(torch.autograd.Function):
    """x W^T. Under vmap over W alone, S products (B, D) x (D, H) become one (B, D) x (D, S H)."""

    @staticmethod
    def forward(inputs: Tensor, weight: Tensor) -> Tensor:
        return inputs @ weight.mT

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:  # pyrefly: ignore[bad-override]
        inputs, weight = ctx.saved_tensors
        return (
            grad @ weight if ctx.needs_input_grad[0] else None,
            grad.mT @ inputs if ctx.needs_input_grad[1] else None,
        )

    @staticmethod
    def vmap(  # pyrefly: ignore[bad-override]
        info: Any, in_dims: tuple[int | None, int | None], inputs: Tensor, weight: Tensor
    ) -> tuple[Tensor, int]:
        if in_dims[0] is not None or in_dims[1] is None:
            lead = [t if d is None else t.movedim(d, 0) for t, d in zip((inputs, weight), in_dims, strict=True)]
            return _SharedProduct.apply(*lead), 0
        wide = weight.movedim(in_dims[1], 0)
        product = _SharedProduct.apply(inputs, wide.flatten(0, 1))
        return product.unflatten(-1, wide.shape[:2]).movedim(-2, 0), 0


DENSE = (nn.Linear, SharedLinear)
AFFINE = (PixelRange, *DENSE, nn.Conv2d)
"""Layers that are W h + b with a W that `BoundLayer.linear` applies."""


def is_exactly(module: nn.Module, *kinds: type[nn.Module]) -> bool:
    """Whether a module computes what one of these classes computes: no subclass, no hook, no `forward` of its own.

    Rules that stand for a class's arithmetic ask this and not `isinstance`: a weight-standardised convolution is an
    `nn.Conv2d` and does not convolve with its weight.
    """
    hooks = module._forward_pre_hooks or module._forward_hooks or module._backward_pre_hooks or module._backward_hooks
    return type(module) in kinds and not hooks and "forward" not in vars(module)


def is_affine(module: nn.Module) -> bool:
    """Whether a layer computes W h + b with a matrix W that `BoundLayer.linear` can apply."""
    return is_exactly(module, *AFFINE) and (not isinstance(module, nn.Conv2d) or is_of_zeros(module))


@dataclass(frozen=True)
class BoundLayer:
    """A layer and its parameters, for methods that go layer by layer (intervals, contextual decomposition)."""

    module: nn.Module
    parameters: Parameters

    def __call__(self, hidden: Tensor) -> Tensor:
        module, parameters = self.module, self.parameters
        if not parameters:
            return module(hidden)
        if is_affine(module):  # functional_call costs more than a small layer, so common layers avoid it
            bias = parameters.get("bias")
            match module:
                case SharedLinear():
                    product = _SharedProduct.apply(hidden, parameters["weight"])
                    return product if bias is None else product + bias
                case nn.Linear():
                    return F.linear(hidden, parameters["weight"], bias)
                case nn.Conv2d():
                    return convolve(module, hidden, parameters["weight"], bias)
        return functional_call(module, dict(parameters), (hidden,), tie_weights=False)

    @property
    def is_affine(self) -> bool:
        """Whether the layer computes W h + b with a matrix W that `linear` can apply."""
        return is_affine(self.module)

    def linear(self, hidden: Tensor, *, absolute: bool = False) -> Tensor:
        """W h of an affine layer W h + b, without the bias; |W| h if `absolute`."""
        if not self.is_affine:
            raise TypeError(
                f"{type(self.module).__name__} is not affine: `linear` needs a PixelRange, nn.Linear or nn.Conv2d"
            )
        weight = self.module.scale if isinstance(self.module, PixelRange) else self.parameters["weight"]
        weight = weight.abs() if absolute else weight
        match self.module:
            case PixelRange():
                return weight.to(hidden) * hidden
            case SharedLinear():
                return _SharedProduct.apply(hidden, weight)
            case nn.Conv2d() as layer:
                return convolve(layer, hidden, weight)
            case _:
                return F.linear(hidden, weight)


class Net:
    """`net(x) = net.head(net.features(x))`: logits, with parameters as arguments and not as attributes.

    Args:
        module: has `features` (an `nn.Sequential`) and `head`, both without state that changes in a forward pass.
        parameters: by the names of `module.named_parameters()`; a parameter that several layers share has one name.
    """

    def __init__(self, module: nn.Module, parameters: Parameters) -> None:
        self.module = module
        self.parameters = parameters

    def __call__(self, inputs: Float[Tensor, "batch *features"]) -> Float[Tensor, "batch classes"]:
        return self.head(self.features(inputs))

    def features(self, inputs: Float[Tensor, "batch *features"]) -> Float[Tensor, "batch hidden"]:
        """The input of the last linear layer."""
        *features, _ = self.layers
        return reduce(lambda hidden, layer: layer(hidden), features, inputs)

    def head(self, hidden: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch classes"]:
        own = self._of(self.module.head)  # pyrefly: ignore
        logits = BoundLayer(self.module.head, own)(hidden)  # pyrefly: ignore
        return logits.to(next(iter(own.values()), logits).dtype)  # which autocast does not keep

    @property
    def layers(self) -> Iterator[BoundLayer]:
        """The layers of `features` in order, then the head."""
        for module in self.module.features._modules.values():  # pyrefly: ignore  # one may stand in several places
            yield BoundLayer(module, self._of(module))
        yield BoundLayer(self.module.head, self._of(self.module.head))  # pyrefly: ignore

    def detached(self) -> Net:
        """The same network as a constant: no gradient reaches its parameters."""
        return Net(self.module, {name: value.detach() for name, value in self.parameters.items()})

    def _of(self, layer: nn.Module) -> dict[str, Tensor]:
        """The parameters of a layer by the names that they have within it."""
        places = parameter_places(self.module, layer)
        return {place: self.parameters[name] for place, name in places.items() if name in self.parameters}


_PLACES: WeakKeyDictionary[nn.Module, dict[str, str]] = WeakKeyDictionary()


def parameter_places(network: nn.Module, layer: nn.Module) -> dict[str, str]:
    """Where a layer of a network keeps its parameters, with the name that `network.named_parameters()` has for each.

    A parameter may be kept in several places. A module that stands in several places keeps each of its parameters once,
    so it is named once: given twice to `functional_call`, it would be left with the parameters of the call.
    """
    if layer not in _PLACES:
        names = {parameter: name for name, parameter in network.named_parameters()}
        _PLACES[layer] = {
            f"{path}.{own}".removeprefix("."): names[parameter]
            for path, part in layer.named_modules()
            for own, parameter in part._parameters.items()
            if parameter is not None
        }
    return _PLACES[layer]


def layers_of(module: nn.Module) -> list[nn.Module]:
    """The layers that a `Net` of this module has: those of `features` in order, then the head."""
    return [*module.features._modules.values(), module.head]  # pyrefly: ignore


def without_rule(module: nn.Module, has_rule: Callable[[nn.Module], bool]) -> nn.Module | None:
    """The first layer that a layer-by-layer method has no rule for; None if it has a rule for each."""
    return next((layer for layer in layers_of(module) if not has_rule(layer)), None)
