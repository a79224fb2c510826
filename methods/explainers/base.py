"""The contract of an explainer: attributes a prediction to the input, and leaves no trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ...datasets.registry import Named, Registry

Network = Callable[[Float[Tensor, "batch *features"]], Float[Tensor, "batch classes"]]
"""From inputs to logits: an `nn.Module`, a bound `Net`, or any function that treats the inputs independently."""


class Explainer(Named):
    """A way of attributing a prediction to the input. One file, one class, `@explainers.register`."""

    def attribute(
        self, network: Network, inputs: Float[Tensor, "batch *features"], target: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch *features"]:
        """One signed number per feature: what it did to the score of class `target`, or to all classes'.

        Signs are kept; what they count for is the metric's affair. A module is explained in evaluation mode. Its modes,
        its parameters' gradients, the inputs and the global random state are as before, also after an exception.
        """
        if not len(inputs):
            return torch.zeros_like(inputs)
        with _undisturbed(network, inputs.device), torch.no_grad():  # no graph outside the explainer's own
            return self.explain(network, inputs.detach(), target)

    def explain(
        self, network: Network, inputs: Float[Tensor, "batch *features"], target: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch *features"]:
        """`attribute`, without its precautions; what an explainer implements."""
        raise NotImplementedError


@contextmanager
def _undisturbed(network: Network, device: torch.device) -> Iterator[None]:
    modules = list(network.modules()) if isinstance(network, nn.Module) else []
    modes = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        for module, training in zip(modules, modes, strict=True):
            module.training = training


explainers: Registry[Explainer] = Registry("explainer", "rrrbench.methods.explainers")
