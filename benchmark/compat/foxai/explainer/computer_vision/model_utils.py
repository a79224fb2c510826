"""Which layer an explanation is of."""

from __future__ import annotations

from torch import nn

from ......datasets.registry import nearest

Layer = nn.Module | str | None


def get_last_conv_model_layer(model: nn.Module) -> nn.Module:
    """The `nn.Conv2d` that the model defines last; name a layer where the forward pass has another order.

    Raises:
        ValueError: the model has none.
    """
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    if not convolutions:
        raise ValueError(f"{type(model).__name__} has no nn.Conv2d: give layer, a module or its dotted name")
    return convolutions[-1]


def name_of(layer: Layer, model: nn.Module) -> str:
    """The dotted name of a layer that is given by module or by name, or else of the last convolution.

    Raises:
        ValueError: it is no layer of the model, or there is no convolution.
    """
    modules = {name: module for name, module in model.named_modules(remove_duplicate=False) if name}
    if isinstance(layer, str):
        if layer not in modules:
            raise ValueError(f"{type(model).__name__} has no layer {layer!r}; {nearest(layer, modules)}")
        layer = modules[layer]
    module = get_last_conv_model_layer(model) if layer is None else layer
    found = [name for name, known in model.named_modules() if known is module]
    if not found:
        raise ValueError(f"layer {module} is none of the model's: give one of {', '.join(modules)}")
    return found[0]
