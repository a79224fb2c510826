"""A network from the user's own function: any `nn.Module` from images to logits."""

from __future__ import annotations

import copy
import inspect
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...datasets.files import sha256, stamp_of
from ...datasets.own_code import Refused, defined, digest_of, loaded
from ...methods.explainers.base import evaluating
from .base import Network, networks
from .fine_tuned import FineTuned, Layers, Sha256
from .foreign_layers import settle_batch_norm, twice_differentiable
from .weights import fill

BUILDERS = "rrrbench.benchmark.networks.build"
"""Entry points of installed packages: modules whose functions suites may name."""


@networks.register
class ModuleNetwork(FineTuned):
    """A network by `build = "my_net:build"`, a function of a file given as `--with my_net.py` or of an entry point.

    The function takes `features` (an input's shape) and `classes`, or neither, and returns an `nn.Module` from inputs
    to logits. Its last linear layer is the head, if it has one.
    """

    name: ClassVar[str] = "module"

    build_by: Annotated[str, Field(alias="build", pattern=r"^\w+:\w+$", description="`my_net:build`")]
    source_sha256: Annotated[Sha256, Field(description="of the function's file; filled in")] = ""

    @model_validator(mode="before")
    @classmethod
    def _know_the_source(cls, given: Any) -> Any:
        """Fills in the digest of the function's file."""
        if not isinstance(given, Mapping) or not isinstance(named := given.get("build"), str) or ":" not in named:
            return given
        module, _, function = named.partition(":")
        found, expected = _source_of(module, function), given.get("source_sha256") or ""
        if expected and found != expected:
            raise ValueError(
                f"build = {named!r}: the SHA-256 of its file is {found[:12]}…, and {expected[:12]}… was asked for: "
                "give that file, or take source_sha256 out of the suite for another network with other runs"
            )
        return {**given, "source_sha256": found}

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """The parameters by the names that a suite gives them."""
        options.setdefault("by_alias", True)
        return super().model_dump(**options)

    def shown(self) -> dict[str, Any]:
        shown = super().shown()
        if digest := shown.pop("source_sha256", ""):
            shown["build"] += f"@{digest[:8]}"
        return shown

    def files(self) -> tuple[Path, ...]:
        own = [file.path for file in loaded() if file.module == self.build_by.partition(":")[0]]
        return (*super().files(), *(path for path in own if path.is_file()))

    def whole(self, features: tuple[int, ...], classes: int) -> nn.Module:
        module, _, function = self.build_by.partition(":")
        if _source_of(module, function) != self.source_sha256:
            raise ValueError("its file has changed since the suite was loaded: run the command again")
        return built(defined(_imported(module), function), features, classes)

    def split(self, whole: nn.Module, features: tuple[int, ...]) -> Layers:
        return split(whole, torch.rand(2, *features, generator=torch.Generator().manual_seed(0)))


def built(function: Callable[..., Any], features: tuple[int, ...], classes: int) -> nn.Module:
    """The module that a user's function makes, which is given those of `features` and `classes` that it takes.

    Args:
        features: an input's shape, such as (channels, height, width).

    Raises:
        ValueError: the function needs other arguments, or returns no module.
    """
    name = f"{function.__module__}:{function.__qualname__}"
    given = {"features": features, "classes": classes}
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        taken = given
    else:
        taken = {key: value for key, value in given.items() if key in {parameter.name for parameter in parameters}}
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    if unknown := [parameter for parameter in needed if parameter not in given]:
        raise ValueError(
            f"{name} needs {', '.join(unknown)}: give defaults; it is called with features = {features} and "
            f"classes = {classes}, as far as it has parameters of these names"
        )
    module = function(**taken)
    if not isinstance(module, nn.Module):
        raise ValueError(f"{name} returns a {type(module).__name__}, not an nn.Module: return the network")
    return module


def with_weights(module: nn.Module, state: Mapping[str, Tensor], inputs: Tensor, origin: str) -> nn.Module:
    """The module with given weights: its own state dict, or that of the network that a suite made of it and trained.

    Weights of a suite's `batch_norm = "group"` need GroupNorm, which then takes the place of the module's BatchNorm.

    Args:
        inputs: two of the network's inputs or more, by which a suite finds the head.
        origin: what the weights are of, for errors.

    Raises:
        BadWeights: they are of another network; see `fill`.
    """
    own = len(module.state_dict().keys() & state.keys())
    network = _as_trained(copy.deepcopy(module), state)
    by_author = network.state_dict(keep_vars=True)
    ours = Network(*split(twice_differentiable(network), inputs)).state_dict(keep_vars=True)
    if own >= len(ours.keys() & state.keys()):
        fill([module.state_dict()], state, nn.Module(), origin)
        return module
    fill([ours], state, nn.Module(), origin)
    filled = _as_trained(module, state)
    filled.load_state_dict(by_author)
    return filled


def _as_trained(module: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """With GroupNorm for BatchNorm where weights have no running statistics."""
    of_group = any(isinstance(part, _BatchNorm) for part in module.modules()) and not any(
        name.endswith("running_mean") for name in state
    )
    return settle_batch_norm(module, "group") if of_group else module


def split(whole: nn.Module, inputs: Tensor) -> Layers:
    """Splits a module into layers and a head that compute the same, with the same gradients; else it is one layer.

    A Sequential, or `features` (a Sequential) and `head`, is split layer by layer; of any other module only the linear
    layer whose output is the module's.
    """
    trained = [parameter for parameter in whole.parameters() if parameter.requires_grad]
    modes = False, True
    computed = [_computed(whole, trained, inputs, training) for training in modes]

    def is_split_into(layers: OrderedDict[str, nn.Module], head: nn.Module) -> bool:
        parts = nn.Sequential(*layers.values(), head)
        return all(
            _equal(_computed(parts, trained, inputs, training), of_whole)
            for training, of_whole in zip(modes, computed, strict=True)
        )

    children = OrderedDict(whole.named_children())
    if not _observed(whole) and len(children) == len(whole._modules):  # no hooks, no module in several places
        if children.keys() == {"features", "head"} and isinstance(whole.features, nn.Sequential):
            layers = OrderedDict(whole.features.named_children())
            if is_split_into(layers, children["head"]):
                return layers, children["head"]
        if type(whole) is nn.Sequential and len(children) > 1 and isinstance([*children.values()][-1], nn.Linear):
            _, head = children.popitem()
            if is_split_into(children, head):
                return children, head
    for name, linear in _last_linear(whole, inputs):
        parent, _, own = name.rpartition(".")
        setattr(whole.get_submodule(parent), own, nn.Identity())
        if is_split_into(layers := OrderedDict[str, nn.Module](whole=whole), linear):
            return layers, linear
        setattr(whole.get_submodule(parent), own, linear)
    return OrderedDict[str, nn.Module](whole=whole), nn.Identity()


def _observed(module: nn.Module) -> bool:
    """Whether calling the module does more than its class's `forward`: hooks, or a `forward` of its own."""
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return any(hooks) or "forward" in vars(module)


def _last_linear(whole: nn.Module, inputs: Tensor) -> list[tuple[str, nn.Linear]]:
    """The linear layers whose output is the module's, by name."""
    outputs: dict[str, Tensor] = {}
    linear = {name: part for name, part in whole.named_modules() if isinstance(part, nn.Linear) and name}
    handles = [part.register_forward_hook(lambda _, __, output, name=name: outputs.update({name: output}))
               for name, part in linear.items()]  # fmt: skip
    try:
        with evaluating(whole), torch.no_grad():
            logits = whole(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return [(name, linear[name]) for name, output in outputs.items() if output is logits]


def _computed(
    network: nn.Module, trained: Sequence[Tensor], inputs: Tensor, training: bool
) -> tuple[Tensor | None, ...]:
    """The output, and the gradients of a sum of it by the inputs and the parameters; empty where that fails.

    Draws are the same in every call, and buffers are left as they were.
    """
    leaf = inputs.clone().requires_grad_()
    mode = nullcontext() if training else evaluating(network)
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    try:
        with mode, torch.enable_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            output = network(leaf)
            total = (output * torch.linspace(1, 2, output.numel()).view_as(output)).sum()
            return output.detach(), *torch.autograd.grad(total, [leaf, *trained], allow_unused=True)
    except Exception:  # of a part that asks for another part that was taken out, or has no gradient
        return ()
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


def _equal(one: tuple[Tensor | None, ...], other: tuple[Tensor | None, ...]) -> bool:
    """Whether all that was computed is equal, bit for bit; not where it could not be computed."""

    def same(a: Tensor | None, b: Tensor | None) -> bool:
        return a is b if a is None or b is None else torch.equal(a, b)

    return len(one) == len(other) > 0 and all(map(same, one, other))


def _source_of(module: str, function: str) -> str:
    """SHA-256 of the file of a suite's `build = "module:function"`, which must define the function.

    Raises:
        ValueError: no file of this name was given, and no installed package has an entry point of this name.
    """
    found = _imported(module)
    try:
        defined(found, function)
    except Refused as error:
        raise ValueError(str(error)) from error
    file = sys.modules[found].__file__
    return digest_of(found) or (sha256(stamp_of(Path(file))) if file else "")


def _imported(module: str) -> str:
    """The full name of the module that a suite calls `module`, imported."""
    if digest_of(module):
        return module
    for point in entry_points(group=BUILDERS, name=module):
        return point.load().__name__
    raise ValueError(
        f"no module {module!r} was given: a suite's text never brings code, so add --with {module}.py to the command; "
        f"or install a package with an entry point {module!r} in the group {BUILDERS}"
    )
