"""Whether the engine's gradients of a network, which has its parameters bound, are those of a plain PyTorch loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import grad
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from ...datasets.base import Split
from ...methods.network import Net, Parameters
from .base import Network, NetworkRecipe
from .not_trainable import differ, refuse

ROUNDING = 1e-5
"""Of the largest gradient of all parameters: a bias before a normalisation has a gradient of nothing but rounding."""
USED_BY, NUMBERS = 256, 2**18
"""Most inputs in the batch that shows which parameters are used, and most numbers in these inputs."""
AT_ZERO = 1e-4
"""Parameters below it may hide what is before them: last layers of zeros, LayerScale, ReZero."""
CLIPPED = ", as clipped weights do: compute with a clipped copy, by torch.nn.utils.parametrize"


def require_bound_as_changed(recipe: NetworkRecipe, module: Network, inputs: Tensor) -> None:
    """Refuses a network whose logits or gradients with parameters bound are not those of the changed module."""
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    moved, weights = perturbed(module), weights_of(inputs)

    def total(network: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        logits = network(inputs)
        return (logits.log_softmax(1) * weights).sum(), logits.detach()

    with sdpa_kernel(SDPBackend.MATH), torch.enable_grad():
        _set(module, moved)
        given = {name: value.detach().clone() for name, value in module.named_parameters()}
        with HooksOnTensors() as hooked:
            loss, changed = total(module)
        if hooked.any:
            refuse(recipe, "its `forward` registers a hook on a tensor, which would see the gradients of a whole "
                           "stack: compute what it does by an autograd.Function")  # fmt: skip
        if written := [name for name, value in module.named_parameters() if not torch.equal(value, given[name])]:
            refuse(recipe, f"its forward pass writes into {written[0]}{CLIPPED}")
        trained = {name: value for name, value in module.named_parameters() if value.requires_grad}
        plain = torch.autograd.grad(loss, [*trained.values()], allow_unused=True)
        _set(module, before)
        gradients, bound = grad(lambda parameters: total(Net(module, parameters)), has_aux=True)(moved)
    if differ(bound, changed):
        refuse(recipe, "its logits do not follow from its parameters alone: a layer keeps a tensor that it made from "
                       "a parameter, or two parameters share memory. Make such tensors in `forward`")  # fmt: skip
    rounding = ROUNDING * max(
        (float(value.abs().max()) for value in plain if value is not None and value.numel()), default=0.0
    )
    for name, expected in zip(trained, plain, strict=True):
        if differ(gradients[name], torch.zeros_like(gradients[name]) if expected is None else expected, rounding):
            refuse(recipe, f"the gradient of {name} is not that of a plain PyTorch loop: look for hooks, `.data`, "
                           "or parameters that share memory")  # fmt: skip


def require_registered(recipe: NetworkRecipe, module: Network, inputs: Tensor) -> None:
    """Refuses a network that computes with a trainable tensor that is none of its parameters: nothing trains it."""
    own = {id(value) for value in module.parameters()}
    for leaf in _leaves(module, inputs):
        if id(leaf) not in own:
            refuse(recipe, f"its forward uses a tensor {tuple(leaf.shape)} that requires a gradient and is none of its "
                           "parameters, so that nothing trains it: keep layers as attributes or in nn.ModuleList, not "
                           "in a list or a function; make the tensor an nn.Parameter, or a buffer")  # fmt: skip


def _leaves(module: nn.Module, inputs: Tensor) -> Iterator[Tensor]:
    """The tensors that require a gradient and that the logits are computed from, without computing a gradient."""
    with sdpa_kernel(SDPBackend.MATH), torch.enable_grad():
        left, seen = [module(inputs).grad_fn], set[object]()
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        left += [before for before, _ in node.next_functions]
        if (leaf := getattr(node, "variable", None)) is not None:
            yield leaf


class HooksOnTensors(TorchFunctionMode):
    """Notices `tensor.register_hook`."""

    any = False

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.any |= func is Tensor.register_hook
        return func(*args, **(kwargs or {}))


def perturbed(module: nn.Module, seed: int = 1) -> dict[str, Tensor]:
    """The module's parameters, each moved by a few percent, and those at 0 away from it; drawn on the CPU."""
    draws = torch.Generator().manual_seed(seed)

    def moved(value: Tensor) -> Tensor:
        factor, shift = (torch.rand(value.shape, generator=draws).to(value) for _ in range(2))
        return torch.where(value.abs() < AT_ZERO, 0.01 * (1 + shift), value * (1 + 0.2 * factor))

    return {name: moved(value.detach()) for name, value in module.named_parameters()}


@contextmanager
def holding(module: nn.Module, parameters: Parameters) -> Iterator[None]:
    """The module with other parameters; afterwards it has its own again."""
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    _set(module, parameters)
    try:
        yield
    finally:
        _set(module, before)


def weights_of(inputs: Tensor) -> Tensor:
    """A weight for each input, in the sum of which a gradient is taken."""
    return torch.linspace(0.2, 1, len(inputs)).to(inputs)[:, None]


@torch.no_grad()
def _set(module: nn.Module, parameters: Parameters) -> None:
    for name, value in module.named_parameters():
        value.copy_(parameters[name])


def require_used_by_every_input(
    recipe: NetworkRecipe, module: Network, inputs: Tensor, batch: Float[Tensor, "many *features"]
) -> None:
    """Refuses a network with parameters that some inputs use and others do not.

    In a plain loop such a parameter has no gradient in some steps, and the optimiser leaves it as it is; the engine's
    gradient is 0 there, and momentum and weight decay move the parameter on.

    Args:
        inputs: asked about one by one.
        batch: many inputs, asked about at once, with the module's parameters and with perturbed ones.
    """
    singles = inputs.split(1)
    without_gradient = [_unused(module, one) for one in singles]
    used = [_used(module, many) for many in (*singles, batch)]
    with holding(module, perturbed(module)):
        used.append(_used(module, batch))
    if some := _in_a_part(without_gradient) | _in_a_part(used):
        refuse(recipe, f"{min(some)} is used by some inputs only, and an optimiser skips a parameter in a step that "
                       "does not use it, which the engine does not: let each input pass it, e.g. with a weight of "
                       "0")  # fmt: skip


def _in_a_part(found: Sequence[set[str]]) -> set[str]:
    """What is in some of the sets and not in all."""
    return set.union(*found) - set.intersection(*found)


def _used(module: nn.Module, inputs: Tensor) -> set[str]:
    """The parameters that the logits are computed from: a gradient of many inputs would take three times as long."""
    leaves = {id(leaf) for leaf in _leaves(module, inputs)}
    return {name for name, value in module.named_parameters() if id(value) in leaves}


def first_inputs(split: Split) -> int:
    """How many inputs show which parameters are used: up to 256, fewer where inputs are large."""
    return max(4, min(USED_BY, NUMBERS // max(1, split.inputs.shape[1:].numel())))


def freeze_unused(modules: Sequence[nn.Module], inputs: Float[Tensor, "batch *features"]) -> None:
    """Freezes each module's parameters that no logit depends on.

    They have no gradient, so that a plain loop's optimiser skips them. The engine's gradient would be 0, by which an
    optimiser with weight decay moves them.
    """
    for module in modules:
        for name in _unused(module, inputs):
            module.get_parameter(name).requires_grad_(False)


def _unused(module: nn.Module, inputs: Tensor) -> set[str]:
    """The trained parameters without a gradient."""
    trained = {name: value for name, value in module.named_parameters() if value.requires_grad}
    with sdpa_kernel(SDPBackend.MATH), torch.enable_grad():
        gradients = torch.autograd.grad(module(inputs).sum(), [*trained.values()], allow_unused=True)
    return {name for name, gradient in zip(trained, gradients, strict=True) if gradient is None}


def require_differentiated_twice(recipe: NetworkRecipe, module: Network, inputs: Tensor) -> None:
    """Refuses a network whose second derivative, which RRR asks for, is not that of plain PyTorch."""
    named = {name: value for name, value in module.named_parameters() if value.requires_grad}

    def size(network: Callable[[Tensor], Tensor], leaf: Tensor) -> Tensor:
        return network(leaf).log_softmax(1)[:, 0].sum()

    def of_gradient(parameters: Parameters) -> Tensor:
        return grad(lambda leaf: size(Net(module, parameters), leaf))(inputs).square().sum()

    leaf = inputs.clone().requires_grad_()
    with sdpa_kernel(SDPBackend.MATH), torch.enable_grad():
        try:
            (gradient,) = torch.autograd.grad(size(module, leaf), leaf, create_graph=True)
            gradient.square().sum().backward()  # `grad` would leave out nodes that only raise
            plain = [value.grad for value in named.values()]
        except RuntimeError as error:
            if "once_differentiable" in str(error):
                refuse(recipe, "a function of it is `once_differentiable`, and RRR asks for its second derivative: "
                               "write its `backward` in operations that PyTorch differentiates")  # fmt: skip
            if "been used in the graph" in str(error) or "does not require grad" in str(error):
                refuse(recipe, "no gradient of its logits reaches its inputs, and RRR and every saliency map need "
                               "it: leave `.detach()` and torch.no_grad out of `forward`")  # fmt: skip
            if "is not implemented" in str(error):
                refuse(recipe, f"RRR asks for its second derivative, and PyTorch has none ({error}): compute the same "
                               "by operations that have it, such as F.relu6(x + 3) / 6 for hardsigmoid")  # fmt: skip
            return  # by no plain loop either
        finally:
            module.zero_grad()
        fixed = {name: value.detach() for name, value in module.named_parameters()}
        trained = {name: value.detach() for name, value in named.items()}
        engine = grad(lambda parameters: of_gradient({**fixed, **parameters}))(trained)
    there = [value for value in plain if value is not None and value.numel()]
    rounding = 10 * ROUNDING * max((float(value.abs().max()) for value in there), default=0.0)
    for name, expected in zip(named, plain, strict=True):
        if differ(engine[name], torch.zeros_like(engine[name]) if expected is None else expected, rounding):
            refuse(recipe, f"the second derivative by {name}, which RRR asks for, is not that of plain PyTorch: look "
                           "for an autograd.Function whose `backward` is not differentiable")  # fmt: skip
