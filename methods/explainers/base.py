"""The contract of an explainer: attributes a prediction to the input, and leaves no trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ...datasets.registry import Named, Registry

Network = Callable[[Float[Tensor, "batch *features"]], Float[Tensor, "batch classes"]]
"""From inputs to logits: an `nn.Module`, a bound `Net`, or any function that treats the inputs independently."""


class Explainer(Named):
    r"""A way of attributing a prediction to the input. One file, one class, `@explainers.register`.

    Attributes:
        equation: the attribution in LaTeX, as the module's docstring has it: rows end in `\\` and are aligned at `&`.
        internal_batch_size: inputs in one pass, as far as one input allows: bounds the memory, changes no result.
        needs_layers: True for one that looks into the network, which is then an `nn.Module` or a `Net`.
        needs_convolutions: True for one that looks at a convolution's feature maps: a dense network has none.
        has_baseline: True for one that asks what an input has beyond another.
        draws: True for one that draws: it explains the inputs one by one, each with the same draws.
    """

    equation: ClassVar[str] = ""
    internal_batch_size: ClassVar[int] = 1024
    needs_layers: ClassVar[bool] = False
    needs_convolutions: ClassVar[bool] = False
    has_baseline: ClassVar[bool] = False
    draws: ClassVar[bool] = False

    def attribute(
        self,
        network: Network,
        inputs: Float[Tensor, "batch *features"],
        target: Int[Tensor, "batch"],
        baselines: Float[Tensor, "batch *features"] | None = None,
    ) -> Float[Tensor, "batch *features"]:
        """One signed number per feature: what it did to the score of class `target`, or to all classes'.

        Signs are kept; what they count for is the metric's affair. A module is explained in evaluation mode. Its modes,
        its parameters' gradients, the inputs and the global random states are as before, also after an exception.

        Args:
            baselines: one for each input, zeros if not given. Against an input's twin of the `clean` environment, what
                differs lies in the mask: the sum says what the shortcut did, and all of its share is the mask's.

        Raises:
            ValueError: baselines of another shape, or for an explainer without any; no convolution where one is needed.
            TypeError: a function without layers, where they are needed.
        """
        if baselines is None:
            baselines = inputs.new_zeros(()).expand_as(inputs)
        elif not self.has_baseline:
            raise ValueError(f"{self.id} compares inputs with no baseline: leave baselines out")
        elif baselines.shape != inputs.shape:
            raise ValueError(f"baselines are {tuple(baselines.shape)}, inputs {tuple(inputs.shape)}: give one each")
        if not len(inputs):
            return torch.zeros_like(inputs)
        size = 1 if self.draws else self.internal_batch_size
        given = (inputs.detach().split(size), target.split(size), baselines.detach().to(inputs).split(size))
        with evaluating(network), undisturbed_draws(inputs.device), torch.no_grad():
            return torch.cat([self.explain(network, *chunk) for chunk in zip(*given, strict=True)]).to(inputs.dtype)

    def explain(
        self,
        network: Network,
        inputs: Float[Tensor, "batch *features"],
        target: Int[Tensor, "batch"],
        baselines: Float[Tensor, "batch *features"],
    ) -> Float[Tensor, "batch *features"]:
        """`attribute`, without its precautions, of one chunk of the inputs; what an explainer implements."""
        raise NotImplementedError

    def obstacle(self, network: nn.Module) -> str:
        """Why it has nothing to look at in this network; empty if it has."""
        if self.needs_convolutions and not any(isinstance(module, nn.Conv2d) for module in network.modules()):
            return f"{type(network).__name__} has no convolution, whose feature maps {self.id} looks at"
        return ""


@contextmanager
def evaluating(network: Network) -> Iterator[None]:
    """A module in evaluation mode, and afterwards each of its parts in the mode it was in."""
    modules = list(network.modules()) if isinstance(network, nn.Module) else []
    modes = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, training in zip(modules, modes, strict=True):
            module.training = training


@contextmanager
def undisturbed_draws(device: torch.device) -> Iterator[None]:
    """Afterwards the global random states, torch's and numpy's, are as they were: captum draws from both."""
    state = np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def seed_global_draws(seed: int, device: torch.device) -> None:
    """Seeds the generators that captum draws from; only inside `undisturbed_draws`, which puts them back."""
    np.random.seed(seed)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


explainers: Registry[Explainer] = Registry("explainer", "rrrbench.methods.explainers")
