"""The contract of an explainer: attribute a prediction to the input, without side effects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ...datasets.registry import Named, Registry

ForwardFunction = Callable[[Float[Tensor, "batch *features"]], Float[Tensor, "batch classes"]]
"""Maps inputs to logits: an `nn.Module`, a bound `Net`, or any function that treats inputs independently."""
NUMBERS_IN_A_PASS = 2**22
"""Of inputs: a pass has fewer inputs where they are large, 27 photos of 224 x 224."""


class Explainer(Named):
    r"""Attributes a prediction to the input's features.

    Each explainer is a class in a file of its own, with `@explainers.register`.

    Attributes:
        equation: the attribution in LaTeX, as the module's docstring has it: rows end in `\\` and are aligned at `&`.
        internal_batch_size: the most inputs in a pass: bounds the memory and changes no result.
        needs_layers: True for explainers that look into the network, which must then be an `nn.Module` or a `Net`.
        needs_convolutions: True for explainers that look at a convolution's feature maps, which a dense network lacks.
        has_baseline: True for explainers that compare an input with a baseline.
        draws: True for explainers that draw random numbers; inputs are then explained singly, with the same draws.
    """

    equation: ClassVar[str] = ""
    internal_batch_size: ClassVar[int] = 1024
    needs_layers: ClassVar[bool] = False
    needs_convolutions: ClassVar[bool] = False
    has_baseline: ClassVar[bool] = False
    draws: ClassVar[bool] = False

    def attribute(
        self,
        network: ForwardFunction,
        inputs: Float[Tensor, "batch *features"],
        target: Int[Tensor, "batch"],
        baselines: Float[Tensor, "batch *features"] | None = None,
    ) -> Float[Tensor, "batch *features"]:
        """Attributes the score of class `target`, or the scores of all classes: a signed number per feature.

        Signs are kept; each metric decides how to count them. A module is explained in evaluation mode. Afterwards its
        modes, the gradients of its parameters, the inputs and the global random states are as before, also after an
        exception.

        Args:
            baselines: a baseline for each input; zeros if not given. An input and its twin in the `clean` environment
                differ in the mask only: with twins as baselines, the attributions sum to the shortcut's effect, and
                all of the sum lies in the mask.

        Raises:
            ValueError: baselines whose shape is not the inputs'; baselines for an explainer without baselines; a
                network without convolutions for an explainer that needs convolutions.
            TypeError: a function without layers for an explainer that needs layers.
        """
        if baselines is None:
            baselines = inputs.new_zeros(()).expand_as(inputs)
        elif not self.has_baseline:
            raise ValueError(f"{self.id} compares inputs with no baseline: leave baselines out")
        elif baselines.shape != inputs.shape:
            raise ValueError(
                f"baselines are {tuple(baselines.shape)}, inputs {tuple(inputs.shape)}: give each input its baseline"
            )
        if not len(inputs):
            return torch.zeros_like(inputs)
        size = 1 if self.draws else self.inputs_in_a_pass(inputs)
        given = (inputs.detach().split(size), target.split(size), baselines.detach().to(inputs).split(size))
        with evaluating(network), undisturbed_draws(inputs.device), torch.no_grad():
            return torch.cat([self.explain(network, *chunk) for chunk in zip(*given, strict=True)]).to(inputs.dtype)

    def inputs_in_a_pass(self, inputs: Float[Tensor, "batch *features"]) -> int:
        """At least 1, and the fewer the larger an input is."""
        return max(1, min(self.internal_batch_size, NUMBERS_IN_A_PASS // max(1, inputs[0].numel())))

    def explain(
        self,
        network: ForwardFunction,
        inputs: Float[Tensor, "batch *features"],
        target: Int[Tensor, "batch"],
        baselines: Float[Tensor, "batch *features"],
    ) -> Float[Tensor, "batch *features"]:
        """Attributes a chunk of the inputs, without the precautions of `attribute`. Every explainer implements it."""
        raise NotImplementedError

    def obstacle(self, network: nn.Module) -> str:
        """Why it has nothing to look at in this network; empty if it has."""
        if self.needs_convolutions and not any(isinstance(module, nn.Conv2d) for module in network.modules()):
            return f"{type(network).__name__} has no convolution, whose feature maps {self.id} looks at"
        return ""


@contextmanager
def evaluating(network: ForwardFunction) -> Iterator[None]:
    """Sets a module to evaluation mode, and afterwards sets each of its parts back to its own mode."""
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
    """Restores the global random states of torch and numpy afterwards, because captum draws from both."""
    state = np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def seed_global_draws(seed: int, device: torch.device) -> None:
    """Seeds the generators that captum draws from; only inside `undisturbed_draws`, which restores them."""
    np.random.seed(seed)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


explainers: Registry[Explainer] = Registry("explainer", "rrrbench.methods.explainers")
