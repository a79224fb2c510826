"""Whether a network can be trained as the network it is; a network that cannot is refused before anything is trained.

The engine binds parameters to one module (`methods.network.Net`) where a plain loop changes the module's own. Both must
compute the same. A module is therefore asked, on a few random inputs, before its recipe is used for the first time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import grad
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from ...datasets.base import ShortcutDataset
from ...methods.explainers.base import evaluating
from ...methods.network import Net, Parameters
from .base import Network, NetworkRecipe
from .draws import noticed


class NotTrainable(ValueError):
    """The engine would train another network than the recipe's."""


INPUTS, MANY, NUMBERS = 3, 16, 2**18
"""Inputs of a question, further inputs of another, and numbers that the inputs of a large batch have at most."""
TOLERANCE = 1e-3
"""Of the largest logit, or of a parameter's largest gradient; rounding in float32 is a hundred times smaller."""

ROUNDING = 1e-5
"""Of the largest gradient of all parameters: a bias before a normalisation has a gradient of nothing but rounding."""


_CLIPPED = ", as clipped weights do: compute with a clipped copy, by torch.nn.utils.parametrize"
_PASSED: set[tuple[NetworkRecipe, tuple[int, ...], int, int]] = set()


def check(recipe: NetworkRecipe, dataset: ShortcutDataset, batch_size: int = MANY) -> None:
    """Asks the recipe's network for this dataset, once in a process, whether it can be trained as the network it is.

    Args:
        batch_size: of the training; a network may compute otherwise from so many inputs.

    Raises:
        NotTrainable: it cannot; names the layer, the reason, and the way out.
    """
    asked = recipe, dataset.features, dataset.classes, batch_size
    if asked not in _PASSED:
        _ask(recipe, _built(recipe, dataset), dataset, batch_size)
        _PASSED.add(asked)


def _built(recipe: NetworkRecipe, dataset: ShortcutDataset) -> Network:
    try:
        return recipe.build(dataset, dataset.seed)
    except Exception as error:  # of a recipe that anybody may have written
        raise NotTrainable(
            f"network {recipe.id} cannot be built for {dataset.id}, whose inputs are {dataset.features}, of "
            f"{dataset.classes} classes: {_words(error)}"
        ) from error


def _ask(recipe: NetworkRecipe, module: Network, dataset: ShortcutDataset, batch_size: int) -> None:
    features, classes = dataset.features, dataset.classes
    if lazy := next((name for name, value in module.named_parameters() if is_lazy(value)), ""):
        _refuse(recipe, f"parameter {lazy} has no shape before the first input: give its layer's sizes in `layers`")
    if not any(value.requires_grad for value in module.parameters()):
        _refuse(recipe, "no parameter requires a gradient, so there is nothing to train")
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        if value.is_complex():
            _refuse(recipe, f"{name} is complex, and the engine computes in real numbers: keep its real and its "
                            "imaginary part, and make the complex tensor in `forward`")  # fmt: skip
        if value._backward_hooks or getattr(value, "_post_accumulate_grad_hooks", None):
            _refuse(recipe, f"{name} has a hook on its gradient, which the engine does not run: take it away, or "
                            "compute what it does by an autograd.Function in `forward`")  # fmt: skip
        if not bool(torch.isfinite(value).all()):
            _refuse(recipe, f"{name} is not finite as it is initialised: initialise it")
    inputs = torch.rand(INPUTS, *features, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        try:
            logits = _without_side_effects(recipe, module, inputs)
        except NotTrainable:
            raise
        except Exception as error:
            raise NotTrainable(
                f"network {recipe.id} fails on inputs {(INPUTS, *features)} of {dataset.id}: {_words(error)}. Do its "
                "layers fit? Mend `layers`, or take a network for such inputs, e.g. mlp"
            ) from error
        if not isinstance(logits, Tensor) or logits.shape != (INPUTS, classes):
            shape = f"of shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
            _refuse(recipe, f"gives {shape} for {INPUTS} inputs: `head` must give logits ({INPUTS}, {classes})")
        if not recipe.gives_probabilities() and _are_probabilities(logits):
            _refuse(recipe, "gives probabilities, and the loss takes another softmax: leave its softmax out")
        _each_input_alone(recipe, module, inputs, _of(dataset, MANY))
        _without_side_effects(recipe, module, _of(dataset, batch_size))
        with evaluating(module):
            if _differ(module(inputs), logits):
                _refuse(recipe, "gives other logits in evaluation mode, and it is trained and measured in one mode: "
                                f"let `forward` not depend on `training`{_of_two_modes(module)}")  # fmt: skip
    try:
        _bound_as_changed(recipe, module, inputs)
        _used_by_every_input(recipe, module, torch.cat([inputs, _of(dataset, MANY)]))
        _differentiated_twice(recipe, module, inputs[:1])
    except NotTrainable:
        raise
    except Exception as error:
        if "in-place operation" in str(error):
            _refuse(recipe, f"its forward pass writes into a parameter or a constant{_CLIPPED}")
        raise NotTrainable(
            f"network {recipe.id} cannot be trained as it is: its gradient cannot be computed by torch.func, as the "
            f"engine does ({_words(error).splitlines()[0]}). An autograd.Function needs a `setup_context` and "
            "`generate_vmap_rule = True`; sparse gradients, backward hooks and scripted modules have to go"
        ) from error


def _each_input_alone(recipe: NetworkRecipe, module: Network, inputs: Tensor, further: Tensor) -> None:
    """Refuses logits of an input that depend on the other inputs of a small or a large batch."""
    for batch in (inputs, torch.cat([inputs, further])):
        if _differ(module(batch)[:1], module(inputs[:1])):
            _refuse(recipe, f"its logits of an input depend on the other inputs of the batch{_because(module)}")


def alike(modules: Sequence[nn.Module], inputs: Float[Tensor, "batch *features"]) -> bool:
    """Whether the first module computes every module's network from the network's parameters.

    Not so if seeds differ in buffers, or in tensors that are neither parameters nor buffers.
    """
    first, *others = modules
    constants = dict(first.named_buffers())
    for other in others:
        if any(not torch.equal(value, constants[name]) for name, value in other.named_buffers()):
            return False
        with torch.no_grad():
            if _differ(Net(first, dict(other.named_parameters()))(inputs), other(inputs)):
                return False
    return True


def _without_side_effects(recipe: NetworkRecipe, module: Network, inputs: Tensor) -> Tensor:
    """The module's output; refused if computing it draws numbers or changes the module."""
    before = {name: value.clone() for name, value in (*module.named_parameters(), *module.named_buffers())}
    with noticed() as drawn:
        first = module(inputs)
        kept = _attributes(module)  # after a pass that may have filled a cache
        second = module(inputs)
    if drawn:
        _refuse(recipe, f"{_drawing(module)} draws random numbers (of {', '.join(drawn)}) in every forward pass, which "
                        "a run's seed does not fix: set its probability to 0, or leave it out")  # fmt: skip
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        if not torch.equal(before[name], value):
            _refuse(recipe, f"its forward pass writes into {name}{_because(module)}")
    if isinstance(first, Tensor) and isinstance(second, Tensor) and not torch.equal(first, second):
        _refuse(recipe, "two forward passes of the same inputs differ: it keeps something from pass to pass")
    now = _attributes(module)
    if moved := [name for name, value in now.items() if kept.get(name) != value]:
        _refuse(recipe, f"every forward pass changes {moved[0]}, and a stack's passes are not a plain loop's: keep "
                        "nothing between passes")  # fmt: skip
    return first


def _attributes(module: nn.Module) -> dict[str, str]:
    """What every part of a module keeps beside parameters and buffers, in words that change with it."""
    usual = vars(nn.Module()).keys()
    return {
        f"{name or 'the module'}.{key}": repr((value.sum().item(), value.shape) if isinstance(value, Tensor) else value)
        for name, part in module.named_modules()
        for key, value in vars(part).items()
        if key not in usual
    }


def _are_probabilities(logits: Tensor) -> bool:
    return bool((logits >= 0).all()) and torch.allclose(logits.sum(1), torch.ones_like(logits[:, 0]), atol=1e-4)


def _bound_as_changed(recipe: NetworkRecipe, module: Network, inputs: Tensor) -> None:
    """Refuses a network whose logits or gradients with parameters bound are not those of the changed module."""
    draws = torch.Generator().manual_seed(1)
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    moved = {
        name: value * (1 + 0.2 * torch.rand(value.shape, generator=draws)) + 0.01 for name, value in before.items()
    }
    weights = torch.rand(INPUTS, dtype=inputs.dtype, generator=draws)[:, None]

    def total(network: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        logits = network(inputs)
        return (logits.log_softmax(1) * weights).sum(), logits.detach()

    with sdpa_kernel(SDPBackend.MATH), torch.enable_grad():
        _set(module, moved)
        given = {name: value.detach().clone() for name, value in module.named_parameters()}
        with HooksOnTensors() as hooked:
            loss, changed = total(module)
        if hooked.any:
            _refuse(recipe, "its `forward` registers a hook on a tensor, which would see the gradients of a whole "
                            "stack: compute what it does by an autograd.Function")  # fmt: skip
        if written := [name for name, value in module.named_parameters() if not torch.equal(value, given[name])]:
            _refuse(recipe, f"its forward pass writes into {written[0]}{_CLIPPED}")
        trained = {name: value for name, value in module.named_parameters() if value.requires_grad}
        plain = torch.autograd.grad(loss, [*trained.values()], allow_unused=True)
        _set(module, before)
        gradients, bound = grad(lambda parameters: total(Net(module, parameters)), has_aux=True)(moved)
    if _differ(bound, changed):
        _refuse(recipe, "its logits do not follow from its parameters alone: a layer keeps a tensor that it made from "
                        "a parameter, or two parameters share memory. Make such tensors in `forward`")  # fmt: skip
    rounding = ROUNDING * max(
        (float(value.abs().max()) for value in plain if value is not None and value.numel()), default=0.0
    )
    for name, expected in zip(trained, plain, strict=True):
        if _differ(gradients[name], torch.zeros_like(gradients[name]) if expected is None else expected, rounding):
            _refuse(recipe, f"the gradient of {name} is not that of a plain PyTorch loop: look for hooks, `.data`, "
                            "or parameters that share memory")  # fmt: skip


class HooksOnTensors(TorchFunctionMode):
    """Notices `tensor.register_hook`."""

    any = False

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.any |= func is Tensor.register_hook
        return func(*args, **(kwargs or {}))


def _differentiated_twice(recipe: NetworkRecipe, module: Network, inputs: Tensor) -> None:
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
                _refuse(recipe, "a function of it is `once_differentiable`, and RRR asks for its second derivative: "
                                "write its `backward` in operations that PyTorch differentiates")  # fmt: skip
            return  # by no plain loop either
        finally:
            module.zero_grad()
        engine = grad(of_gradient)({name: value.detach() for name, value in named.items()})
    rounding = 10 * ROUNDING * max((float(value.abs().max()) for value in plain if value is not None), default=0.0)
    for name, expected in zip(named, plain, strict=True):
        if _differ(engine[name], torch.zeros_like(engine[name]) if expected is None else expected, rounding):
            _refuse(recipe, f"the second derivative by {name}, which RRR asks for, is not that of plain PyTorch: look "
                            "for an autograd.Function whose `backward` is not differentiable")  # fmt: skip


def _of(dataset: ShortcutDataset, most: int) -> Tensor:
    """The first training inputs, fewer where they are large."""
    many = max(1, min(most, NUMBERS // max(1, dataset.train.inputs.shape[1:].numel())))
    return dataset.train.batch(slice(0, many)).inputs


def freeze_unused(modules: Sequence[nn.Module], inputs: Float[Tensor, "batch *features"]) -> None:
    """Lets parameters that no logit depends on stay as they are, which a plain loop's optimiser skips: they have no
    gradient, where the engine would have zeros, and decay them.
    """
    for name in _unused(modules[0], inputs):
        for module in modules:
            module.get_parameter(name).requires_grad_(False)


def _unused(module: nn.Module, inputs: Tensor) -> set[str]:
    """The trained parameters without a gradient."""
    trained = {name: value for name, value in module.named_parameters() if value.requires_grad}
    with sdpa_kernel(SDPBackend.MATH), torch.enable_grad():
        gradients = torch.autograd.grad(module(inputs).sum(), [*trained.values()], allow_unused=True)
    return {name for name, gradient in zip(trained, gradients, strict=True) if gradient is None}


def _used_by_every_input(recipe: NetworkRecipe, module: Network, inputs: Tensor) -> None:
    """Refuses parameters that some inputs use and others do not: a plain loop's optimiser skips them in some steps.

    The engine's gradient of such a parameter is 0, with which momentum and weight decay go on.
    """
    unused = [_unused(module, one) for one in inputs.split(1)]
    if some := set.union(*unused) - set.intersection(*unused):
        _refuse(recipe, f"{min(some)} is used by some inputs only, and an optimiser skips a parameter in a step that "
                        "does not use it, which the engine does not: let each input pass it, e.g. with a weight of "
                        "0")  # fmt: skip


def _of_two_modes(module: nn.Module) -> str:
    """The layers that probably do, by their names."""
    named = [
        f"{name} ({type(layer).__name__})" for name, layer in module.named_modules() if "Norm" in type(layer).__name__
    ]
    return f"; look at {', '.join(named)}" if named else ""


@torch.no_grad()
def _set(module: nn.Module, parameters: Parameters) -> None:
    for name, value in module.named_parameters():
        value.copy_(parameters[name])


def _differ(one: Tensor, other: Tensor, rounding: float = 0.0) -> bool:
    scale = float(other.detach().abs().max()) if other.numel() else 0.0
    return not torch.allclose(one, other, rtol=0.0, atol=TOLERANCE * scale + rounding + 1e-8, equal_nan=True)


def _drawing(module: nn.Module) -> str:
    """The layers that draw, by their names, as far as it can be seen from outside."""
    suspects = [
        f"{name} ({type(layer).__name__})"
        for name, layer in module.named_modules()
        if (layer.training and ("drop" in type(layer).__name__.lower() or isinstance(layer, nn.RReLU)))
        or (getattr(layer, "dropout", None) not in (None, 0, 0.0, False) and isinstance(layer.dropout, float))
    ]  # fmt: skip
    return "layer " + ", ".join(suspects) if suspects else "its forward"


def _because(module: nn.Module) -> str:
    """The layers that probably couple inputs or keep statistics, with the ways out."""
    kinds = (_BatchNorm, nn.modules.instancenorm._InstanceNorm)
    named = [f"{name} ({type(layer).__name__})" for name, layer in module.named_modules() if isinstance(layer, kinds)]
    if parametrized := [name for name, _ in module.named_modules() if "parametrizations" in name]:
        owner = parametrized[0].partition(".parametrizations")[0]
        return f": {owner} is parametrised (spectral norm writes its estimates in training mode). Call its `.eval()`"
    if not named:
        return ": make each input's logits from this input alone, and keep nothing between passes"
    return (
        f": {', '.join(named)}. Take GroupNorm in its place, or freeze its statistics: give it running statistics, "
        "and call its `.eval()` in `layers`"
    )


def _words(error: Exception) -> str:
    """A network's own error; its kind is said where it is no message to a user."""
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def _refuse(recipe: NetworkRecipe, reason: str) -> None:
    raise NotTrainable(f"network {recipe.id} cannot be trained as it is: {reason}")
