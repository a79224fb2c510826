"""Whether a network can be trained as the network it is; a network that cannot is refused before anything is trained.

The engine binds parameters to one module (`methods.network.Net`) where a plain loop changes the module's own. Both must
compute the same. A module is therefore asked, on a few random inputs, before its recipe is used for the first time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.parameter import is_lazy

from ...datasets.base import ShortcutDataset
from ...methods.explainers.base import evaluating
from .base import Network, NetworkRecipe
from .draws import noticed
from .gradients import (
    CLIPPED,
    first_inputs,
    holding,
    perturbed,
    require_bound_as_changed,
    require_differentiated_twice,
    require_registered,
    require_used_by_every_input,
)
from .not_trainable import NotTrainable, differ, refuse
from .rebuilding import kept_between_seeds
from .structure import attributes, changed, structure

INPUTS, MANY, NUMBERS = 3, 16, 2**18
"""Inputs of a question, further inputs of another, and numbers that the inputs of a large batch have at most."""
WAYS_OUT = {
    "requires_grad_": "Leave `requires_grad_` out of `forward`: the engine asks for the gradients that it needs",
    "saved tensor hooks": "Leave torch.utils.checkpoint out: a stack is divided where memory is short",
    "use_reentrant": "Leave torch.utils.checkpoint out: a stack is divided where memory is short",
    "DataParallel": "Give the module inside nn.DataParallel (its `.module`): the engine places runs itself",
    "batch_sizes": "Leave packed sequences out: give whole sequences, padded",
    "numpy": "Compute with tensors: `.numpy()` leaves the graph",
    "data_ptr": "Compute with tensors: `.numpy()`, `.data_ptr()` and pointers leave the graph",
}
"""By a word in torch's error."""
OF_LAYERS = "Do its layers fit? Mend `layers`, or take a network for such inputs, e.g. mlp"
OF_GRADIENTS = (
    "Its `forward` asks for a gradient, where none is recorded when metrics are measured: take torch.func.grad"
)
_PASSED: set[tuple[NetworkRecipe, tuple[int, ...], int, str, int]] = set()
"""What was asked, with the batch size, or with 0 for all that does not depend on it."""


def check(recipe: NetworkRecipe, dataset: ShortcutDataset, batch_size: int = MANY) -> None:
    """Asks the recipe's network for this draw, once in a process, whether it can be trained as the network it is.

    Where the seed decides a network's layers or attributes, each seed's network is asked.

    Args:
        batch_size: of the training; a network may compute otherwise from so many inputs.

    Raises:
        NotTrainable: it cannot; names the layer, the reason, and the way out.
    """
    module = _built(recipe, dataset)
    asked = recipe, dataset.features, dataset.classes, structure(module)
    if (*asked, 0) not in _PASSED:
        _ask(recipe, module, dataset)
        _PASSED.add((*asked, 0))
    if (*asked, batch_size) not in _PASSED:
        with torch.no_grad():
            _without_side_effects(recipe, module, _of(dataset, batch_size))
            with holding(module, perturbed(module)):
                _without_side_effects(recipe, module, _of(dataset, batch_size))
        _PASSED.add((*asked, batch_size))


def _built(recipe: NetworkRecipe, dataset: ShortcutDataset) -> Network:
    """The network of the dataset's seed, once its weights are known to be drawn by a seed alone."""
    try:
        kept, module = kept_between_seeds(recipe, dataset), recipe.build(dataset, dataset.seed)
    except Exception as error:  # of a recipe that anybody may have written
        raise NotTrainable(
            f"network {recipe.id} cannot be built for {dataset.id}, whose inputs are {dataset.features}, of "
            f"{dataset.classes} classes: {_words(error)}"
        ) from error
    if kept:
        refuse(recipe, kept)
    return module


def _ask(recipe: NetworkRecipe, module: Network, dataset: ShortcutDataset) -> None:
    features, classes = dataset.features, dataset.classes
    _require_parameters(recipe, module)
    inputs = torch.rand(INPUTS, *features, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        try:
            logits = _without_side_effects(recipe, module, inputs)
        except NotTrainable:
            raise
        except Exception as error:
            raise NotTrainable(
                f"network {recipe.id} fails on inputs {(INPUTS, *features)} of {dataset.id}: {_words(error)}. "
                + (OF_GRADIENTS if "does not require grad" in str(error) else OF_LAYERS)
            ) from error
        if not isinstance(logits, Tensor) or logits.shape != (INPUTS, classes):
            shape = (
                f"an output of shape {tuple(logits.shape)}"
                if isinstance(logits, Tensor)
                else f"a {type(logits).__name__}"
            )
            hint = f"; {first} takes the first axis for time: batch_first=True" if (first := _over_time(module)) else ""
            refuse(recipe, f"gives {shape} for {INPUTS} inputs: `head` must give logits ({INPUTS}, {classes}){hint}")
        if not recipe.gives_probabilities() and _are_probabilities(logits):
            refuse(recipe, "gives probabilities, and the loss takes another softmax: leave its softmax out")
        kept = attributes(module)
        _require_one_function(recipe, module, dataset, inputs)
        with holding(module, perturbed(module)):  # zeros at the beginning, as of a last layer, hide all before them
            _require_one_function(recipe, module, dataset, inputs)
    try:
        require_registered(recipe, module, inputs)
        require_bound_as_changed(recipe, module, inputs)
        require_used_by_every_input(recipe, module, torch.cat([inputs, _of(dataset, MANY)]),
                                    dataset.train.batch(slice(0, first_inputs(dataset.train))).inputs)  # fmt: skip
        require_differentiated_twice(recipe, module, inputs[:1])
        with torch.no_grad():
            module(inputs)
        if moved := changed(kept, attributes(module)):
            refuse(recipe, f"{moved} keeps something of other inputs or parameters, which a stack's passes share: make "
                           "constants in `__init__`, and the rest in `forward`")  # fmt: skip
    except NotTrainable:
        raise
    except Exception as error:
        if "in-place operation" in str(error):
            refuse(recipe, f"its forward pass writes into a parameter or a constant{CLIPPED}")
        raise NotTrainable(
            f"network {recipe.id} cannot be trained as it is: its gradient cannot be computed by torch.func, as the "
            f"engine does ({_words(error).splitlines()[0]}). {_way_out(str(error))}"
        ) from error


def _require_parameters(recipe: NetworkRecipe, module: Network) -> None:
    """Refuses parameters and buffers that the engine cannot stack or train."""
    if lazy := next((name for name, value in module.named_parameters() if is_lazy(value)), ""):
        refuse(recipe, f"parameter {lazy} has no shape before the first input: give its layer's sizes in `layers`")
    if not any(value.requires_grad for value in module.parameters()):
        refuse(recipe, "no parameter requires a gradient, so there is nothing to train")
    if scripted := [name for name, part in module.named_modules() if isinstance(part, torch.jit.ScriptModule)]:
        refuse(recipe, f"{scripted[0] or 'it'} is a scripted module, whose second derivative is not plain PyTorch's: "
                       "use the module that it was made of")  # fmt: skip
    for name, value in module.named_parameters():
        if not value.is_floating_point() and not value.is_complex():
            refuse(recipe, f"parameter {name} is {value.dtype}, and the engine computes in floats: make it a buffer, "
                           "by register_buffer")  # fmt: skip
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        if value.is_complex():
            refuse(recipe, f"{name} is complex, and the engine computes in real numbers: keep its real and its "
                           "imaginary part, and make the complex tensor in `forward`")  # fmt: skip
        if value._backward_hooks or getattr(value, "_post_accumulate_grad_hooks", None):
            refuse(recipe, f"{name} has a hook on its gradient, which the engine does not run: take it away, or "
                           "compute what it does by an autograd.Function in `forward`")  # fmt: skip
        if not bool(torch.isfinite(value).all()):
            refuse(recipe, f"{name} is not finite as it is initialised: initialise it")


def _require_one_function(recipe: NetworkRecipe, module: Network, dataset: ShortcutDataset, inputs: Tensor) -> None:
    """Refuses a network that is not one function of each input, in both modes and from pass to pass."""
    logits = _without_side_effects(recipe, module, inputs)
    _without_side_effects(recipe, module, _of(dataset, MANY))
    _each_input_alone(recipe, module, inputs, _of(dataset, MANY))
    with evaluating(module):
        if differ(module(inputs), logits):
            refuse(recipe, "gives other logits in evaluation mode, and it is trained and measured in one mode: "
                           f"let `forward` not depend on `training`{_of_two_modes(module)}")  # fmt: skip


def _each_input_alone(recipe: NetworkRecipe, module: Network, inputs: Tensor, further: Tensor) -> None:
    """Refuses logits of an input that depend on the other inputs of a small or a large batch."""
    logits, words = module(inputs), f"its logits of an input depend on the other inputs of the batch{_because(module)}"
    before, after = module(torch.cat([inputs, further])), module(torch.cat([further, inputs.flip(0)]))
    if differ(before[: len(inputs)], logits) or differ(after[-len(inputs) :].flip(0), logits):
        refuse(recipe, words)
    try:
        alone = torch.cat([module(one) for one in inputs.split(1)])
    except Exception as error:
        coupled = any(isinstance(layer, (_BatchNorm, _InstanceNorm)) for layer in module.modules())
        way_out = (
            _because(module) if coupled else ". Does it `squeeze` without an axis? Take flatten(1), or squeeze(axis)"
        )
        raise NotTrainable(
            f"network {recipe.id} fails on a batch of one input, as the last batch of a data set may be: "
            f"{_words(error)}{way_out}"
        ) from error
    if differ(alone, logits):
        refuse(recipe, words)


def _without_side_effects(recipe: NetworkRecipe, module: Network, inputs: Tensor) -> Tensor:
    """The module's output; refused if computing it draws numbers or changes the module."""
    before = {name: value.clone() for name, value in (*module.named_parameters(), *module.named_buffers())}
    with noticed() as drawn:
        first = module(inputs)
        kept = attributes(module)  # after a pass that may have filled a cache
        second = module(inputs)
    if drawn:
        refuse(recipe, f"{_drawing(module)} draws random numbers (of {', '.join(drawn)}) in every forward pass, which "
                       "a run's seed does not fix: set its probability to 0, or leave it out")  # fmt: skip
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        if not torch.equal(before[name], value):
            of_parameter = isinstance(value, nn.Parameter)
            refuse(recipe, f"its forward pass writes into {name}{CLIPPED if of_parameter else _because(module)}")
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        if not bool(first.isfinite().all()):
            refuse(recipe, "gives logits that are NaN or infinite before it is trained: look for a division by zero, a "
                           "logarithm or a root of what may be negative, or weights that are too large")  # fmt: skip
        if not torch.equal(first, second):
            refuse(recipe, "two forward passes of the same inputs differ: it keeps something from pass to pass")
    if moved := changed(kept, attributes(module)):
        refuse(recipe, f"every forward pass changes {moved}, and a stack's passes are not a plain loop's: keep "
                       "nothing between passes")  # fmt: skip
    return first


def _way_out(error: str) -> str:
    """What to change in a network for which torch.func has no gradient."""
    return next(
        (way for word, way in WAYS_OUT.items() if word in error),
        "An autograd.Function needs a `setup_context` and `generate_vmap_rule = True`; sparse gradients, backward "
        "hooks and scripted modules have to go",
    )


def _are_probabilities(logits: Tensor) -> bool:
    return bool((logits >= 0).all()) and torch.allclose(logits.sum(1), torch.ones_like(logits[:, 0]), atol=1e-4)


def _of(dataset: ShortcutDataset, most: int) -> Tensor:
    """The first training inputs, fewer where they are large."""
    many = max(1, min(most, NUMBERS // max(1, dataset.train.inputs.shape[1:].numel())))
    return dataset.train.batch(slice(0, many)).inputs


def _of_two_modes(module: nn.Module) -> str:
    """The layers that probably do, by their names."""
    named = [
        f"{name} ({type(layer).__name__})" for name, layer in module.named_modules() if "Norm" in type(layer).__name__
    ]
    return f"; look at {', '.join(named)}" if named else ""


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
    kinds = (_BatchNorm, _InstanceNorm)
    named = [f"{name} ({type(layer).__name__})" for name, layer in module.named_modules() if isinstance(layer, kinds)]
    if parametrized := [name for name, _ in module.named_modules() if "parametrizations" in name]:
        owner = parametrized[0].partition(".parametrizations")[0]
        return f": {owner} is parametrised (spectral norm writes its estimates in training mode). Call its `.eval()`"
    if not named and (first := _over_time(module)):
        return f": {first} takes the first axis for time: give it batch_first=True, or transpose its inputs"
    if not named:
        return ": make each input's logits from this input alone, and keep nothing between passes"
    return (
        f": {', '.join(named)}. Take GroupNorm in its place, or freeze its statistics: give it running statistics, "
        "and call its `.eval()` in `layers`"
    )


def _over_time(module: nn.Module) -> str:
    """The layers whose first axis is time, by name."""
    kinds = (nn.RNNBase, nn.MultiheadAttention, nn.TransformerEncoderLayer)
    layers = {
        name: getattr(layer, "self_attn", layer) for name, layer in module.named_modules() if isinstance(layer, kinds)
    }
    return ", ".join(name for name, layer in layers.items() if not getattr(layer, "batch_first", True))


def _words(error: Exception) -> str:
    """A network's own error; its kind is said where it is no message to a user."""
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
