"""A private copy of the model that is explained, and a look at a forward pass of it."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .....methods.explainers.layers import as_module

Model = nn.Module | Callable[..., Any]


class Function(nn.Module):
    """A function as a module; the function of a module's method is called on the module's copy."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        owner = getattr(function, "__self__", None)
        self.owner = owner if isinstance(owner, nn.Module) else None
        # In a list, because copy.deepcopy of the module would copy what a partial or a callable object holds.
        self.functions = _Shared([function.__func__ if self.owner is not None else function])  # pyrefly: ignore

    def forward(self, *inputs: Any) -> Any:
        """Calls the function."""
        (function,) = self.functions
        return function(*inputs) if self.owner is None else function(self.owner, *inputs)


class _Shared(list):
    """A list that `copy.deepcopy` hands on as it is."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _Shared:
        return self


def module_of(model: Model) -> nn.Module:
    """The model as a module: the module of `model.forward`, the compiled module, or a wrapped function.

    Raises:
        TypeError: it can not be called.
    """
    if isinstance(model, nn.Module):
        return getattr(model, "_orig_mod", model)  # which torch.compile has compiled
    owner = getattr(model, "__self__", None)
    if isinstance(owner, nn.Module) and getattr(model, "__name__", "") in ("forward", "__call__", "_wrapped_call_impl"):
        return owner
    if not callable(model):
        raise TypeError(f"model is {type(model).__name__}: give an nn.Module, or a function from inputs to logits")
    return Function(model)


def private_copy(model: Model, *, needs_layers: bool, explainer: str) -> nn.Module:
    """A copy in evaluation mode that shares the parameters' memory, for captum to hook.

    Raises:
        TypeError: a function, where the algorithm looks into layers; a ScriptModule.
        ValueError: the model can not be copied, or its normalisation mixes the inputs of a batch.
    """
    module = module_of(model)
    if needs_layers and isinstance(module, Function):
        raise TypeError(
            f"model is a function, and {explainer} looks into layers: give the nn.Module itself, or take an explainer "
            "of outputs alone, such as IntegratedGradientsCVExplainer"
        )
    if isinstance(module, torch.jit.ScriptModule):
        raise TypeError("model is a ScriptModule, which takes no hooks: give the nn.Module that it was made of")
    try:
        copied = as_module(module)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"{type(module).__name__} can not be copied ({error}): detach tensors that it keeps of earlier passes, and "
            "put nothing but modules, parameters and plain values into its attributes"
        ) from error
    for name, part in copied.named_modules():
        _check_normalisation(name, part)
        _leave_inference(part)
    return copied


def _check_normalisation(name: str, part: nn.Module) -> None:
    if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is None:
        raise ValueError(
            f"layer {name!r}, a {type(part).__name__}, has no running statistics: in evaluation mode too it normalises "
            "by the batch, so that an input's attributions depend on the other inputs. Set "
            "track_running_stats=True and train, or use GroupNorm"
        )


def _leave_inference(part: nn.Module) -> None:
    """Parameters that were made in inference mode can not be saved for the backward pass; their copies can."""
    for name, parameter in part.named_parameters(recurse=False):
        if parameter.is_inference():
            setattr(part, name, nn.Parameter(parameter.detach().clone(), requires_grad=False))
    for name, buffer in part.named_buffers(recurse=False):
        if buffer.is_inference():
            setattr(part, name, buffer.detach().clone())


@dataclass(frozen=True)
class Pass:
    """What a forward pass showed.

    Attributes:
        calls: how often each module was called, by its name.
        nested: the modules whose output is neither a tensor nor a tuple of tensors.
    """

    output: Any
    calls: Counter[str]
    nested: set[str]


def observe(copied: nn.Module, inputs: Float[Tensor, "batch *features"], further: Any) -> Pass:
    """Runs the copy once.

    Args:
        further: the model's further arguments, a tuple if there are several.

    Raises:
        RuntimeError: the model fails on these inputs.
        TypeError: inputs of another dtype than the parameters.
        ValueError: inputs on another device than the parameters, or an output of NaN.
    """
    calls: Counter[str] = Counter()
    nested: set[str] = set()
    names = {module: name for name, module in copied.named_modules()}

    def note(module: nn.Module, _: Any, output: Any) -> None:
        calls[names[module]] += 1
        if not all(isinstance(part, Tensor) for part in (output if isinstance(output, tuple) else (output,))):
            nested.add(names[module])

    handles = [module.register_forward_hook(note) for module in copied.modules()]
    arguments = further if isinstance(further, tuple) else () if further is None else (further,)
    try:
        with torch.no_grad():
            output = copied(inputs.detach().clone(), *arguments)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        _check_kind(copied, inputs)
        raise RuntimeError(
            f"{type(copied).__name__} fails on input_data of shape {tuple(inputs.shape)}: {error}. Give inputs of the "
            "shape that it was trained on, and its further arguments as additional_forward_args"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    if isinstance(output, Tensor) and bool(output.isnan().any()):
        raise ValueError(f"{type(copied).__name__} returns NaN: check its parameters, and the scale of input_data")
    return Pass(output, calls, nested)


def _check_kind(copied: nn.Module, inputs: Tensor) -> None:
    for parameter in copied.parameters():
        if parameter.device != inputs.device:
            raise ValueError(
                f"input_data is on {inputs.device}, the model on {parameter.device}: move one, for example by "
                f"input_data.to({str(parameter.device)!r})"
            )
        if parameter.is_floating_point() and parameter.dtype != inputs.dtype:
            raise TypeError(
                f"input_data is {inputs.dtype}, the model's parameters are {parameter.dtype}: convert the inputs by "
                f"input_data.to({parameter.dtype})"
            )


class WithArguments(nn.Module):
    """A model of inputs alone: its further arguments are given, for the first input."""

    def __init__(self, copied: nn.Module, further: Any, batch: int) -> None:
        super().__init__()
        self.copied = copied
        arguments = further if isinstance(further, tuple) else () if further is None else (further,)
        self.arguments = [
            value[:1] if isinstance(value, Tensor) and value.dim() and len(value) == batch else value
            for value in arguments
        ]

    def forward(self, inputs: Float[Tensor, "batch *features"]) -> Any:
        """Calls the model."""
        return self.copied(inputs, *self.arguments)


class InTurn(nn.Module):
    """Copies of a module, applied one after the other: captum's hooks take a module for applied once."""

    def __init__(self, name: str, module: nn.Module, times: int) -> None:
        super().__init__()
        self.name = name
        self.copies = nn.ModuleList(copy.deepcopy(module) for _ in range(times))
        self.applied = 0

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """Applies the next copy.

        Raises:
            RuntimeError: the module is applied more often than in the first pass.
        """
        if self.applied >= len(self.copies):
            raise RuntimeError(
                f"layer {self.name!r} is applied {len(self.copies)} times in one pass and more often in another: give "
                "the model a module for each use"
            )
        self.applied += 1
        return self.copies[self.applied - 1](*inputs, **options)


def separate(copied: nn.Module, calls: Counter[str]) -> None:
    """Replaces each leaf module that is applied several times by as many copies of it."""
    repeated = {
        module: InTurn(name, module, calls[name])
        for name, module in copied.named_modules()
        if calls[name] > 1 and not list(module.children()) and module is not copied
    }
    for parent in list(copied.modules()):
        for name, child in list(parent._modules.items()):
            if child in repeated:
                parent._modules[name] = repeated[child]

    def begin(*_: Any) -> None:
        for turns in repeated.values():
            turns.applied = 0

    copied.register_forward_pre_hook(begin)
