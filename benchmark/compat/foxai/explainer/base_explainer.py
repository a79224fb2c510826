"""An explainer: one of captum's algorithms on a private copy of the model."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .....datasets.registry import nearest
from .....methods.explainers.base import seed_global_draws, undisturbed_draws
from .....methods.explainers.layers import (
    caution_functional_relus,
    caution_incomplete,
    differentiable,
    incomplete,
    without_captums_warnings,
)
from .attributions import Attributions, mapped, mean, unwrapped
from .baselines import Baselines, baselines_for
from .checks import captums_refusals, check_inputs, finite
from .computer_vision.model_utils import Layer, name_of
from .models import Model, Pass, WithArguments, module_of, observe, private_copy, separate
from .options import checked_options, checked_seed
from .targets import Target, checked_target

OURS = {"self", "inputs", "target", "baselines", "return_convergence_delta", "show_progress"}
OF_LAYERS = {"layer", "attribute_to_layer_input"}
log = logging.getLogger(__name__)


def gaps_of(delta: Tensor, inputs: int) -> Float[Tensor, "inputs"]:
    """Captum's gaps, of which DeepLIFT SHAP has several for an input: a gap for each baseline."""
    return delta.view(inputs, -1).mean(1)


class CVExplainer:
    """One of captum's algorithms, with FoXAI's two methods.

    Attributes:
        algorithm: its name in `captum.attr`.
        of_layer: it attributes to a layer: to the last convolution, if none is given.
        of_layers: it takes a list of layers, and gives a list.
        of_outputs: it looks at the model's outputs alone, so that the model may be a function.
        once: its hooks take each module for applied once; modules that are applied more often are copied.
        distribution: it draws from the rows of a baseline; others have one for each input.
        defaults: options that differ from captum's.
        complete: its attributions sum to the difference of the logits, if every nonlinearity has a rule in captum.
        of_relus: it replaces the gradient of ReLUs.
    """

    algorithm: ClassVar[str]
    of_layer: ClassVar[bool] = False
    of_layers: ClassVar[bool] = False
    of_outputs: ClassVar[bool] = False
    once: ClassVar[bool] = False
    distribution: ClassVar[bool] = False
    defaults: ClassVar[Mapping[str, Any]] = {}
    complete: ClassVar[bool] = False
    of_relus: ClassVar[bool] = False

    @property
    def algorithm_name(self) -> str:
        """The name of the class, as in FoXAI."""
        return type(self).__name__

    def create_explainer(
        self, model: Model, multiply_by_inputs: bool = True, layer: Layer | list[Layer] = None, **ignored: Any
    ) -> Any:
        """Captum's object for this very model.

        A layer for an algorithm that attributes to inputs is ignored, as in FoXAI, and the log says so.

        Raises:
            ValueError: no such layer, or none is given and the model has no convolution.
            TypeError: `multiply_by_inputs=False` for an algorithm that has no such choice, several layers for an
                algorithm of one, or another argument.
        """
        if ignored:
            raise TypeError(f"{self.algorithm_name}.create_explainer has no {', '.join(ignored)}: leave it out")
        captum, options = getattr(import_module("captum.attr"), self.algorithm), {}
        if not multiply_by_inputs:
            if "multiply_by_inputs" not in inspect.signature(captum).parameters:
                raise TypeError(f"{self.algorithm_name} has no multiply_by_inputs=False: leave it out")
            options["multiply_by_inputs"] = False
        if not self.of_layer:
            self._ignore(layer=layer)
            return captum(model, **options)
        module = module_of(model)
        found = [module.get_submodule(name) for name in self._names(layer, module)]
        return captum(module, found if isinstance(layer, list) else found[0], **options)

    def calculate_features(
        self,
        model: Model,
        input_data: Float[Tensor, "batch *features"],
        pred_label_idx: Target = None,
        *,
        baselines: Baselines = None,
        additional_forward_args: Any = None,
        layer: Layer | list[Layer] = None,
        multiply_by_inputs: bool = True,
        seed: int = 0,
        **options: Any,
    ) -> Attributions:
        """The attributions, of the inputs' or the layer's shape; the mean over them for several baselines.

        The model is explained in evaluation mode; it, its gradients, the inputs and the global random states stay as
        they are. A layer with several outputs has a tuple of attributions, a list of layers a list.

        Args:
            pred_label_idx: the class that is explained, or one for each input; None if there is one value an input.
            baselines: what the inputs are compared with: zeros for None, see `baselines_for`.
            additional_forward_args: the model's further arguments, a tuple if there are several.
            layer: for explainers of layers a module or its dotted name; the others ignore it, and the log says so.
            seed: of the noise baseline, and of what the algorithm draws.
            options: captum's further arguments.

        Raises:
            RuntimeError: an empty attribution, or the model fails on these inputs.
            TypeError: inputs, targets, baselines or options of another type, an option that the algorithm has not, a
                model whose output is no tensor.
            ValueError: values out of range: NaN, a class that the model has not, a baseline of another shape, a layer
                that is not the model's or not applied once.
        """
        check_inputs(input_data)
        with torch.inference_mode(False), undisturbed_draws(input_data.device), without_captums_warnings():
            inputs = differentiable(input_data.clone() if input_data.is_inference() else input_data)
            checked_options({"multiply_by_inputs": multiply_by_inputs}, ())
            chosen = self._options(options, inputs)
            copied = self.prepared(model)
            names = self._names(layer, module_of(model)) if self.of_layer else []
            if not self.of_layer:
                self._ignore(layer=layer)
            seed = checked_seed(seed)
            seed_global_draws(seed, inputs.device)
            seen = observe(copied, inputs, additional_forward_args)
            target = checked_target(pred_label_idx, seen.output)
            self._check_layers(copied, names, seen, outputs=not chosen.get("attribute_to_layer_input"))
            if self.once:
                separate(copied, seen.calls)
            of: Any = names if isinstance(layer, list) else names[0] if names else None
            with captums_refusals(self.algorithm_name, names):
                explainer = self.create_explainer(copied, multiply_by_inputs, of)
            if additional_forward_args is not None:
                chosen["additional_forward_args"] = additional_forward_args
            self._caution(WithArguments(copied, additional_forward_args, len(inputs)), inputs[:1])
            found = []
            for against in self._compared(explainer, baselines, inputs, seed):
                seed_global_draws(seed, inputs.device)
                with captums_refusals(self.algorithm_name, names):
                    found.append(self._attributions(explainer, inputs, target, against | chosen, multiply_by_inputs))
            return mean([mapped(lambda part: finite(self.finished(part, inputs, chosen)), part) for part in found])

    def prepared(self, model: Model) -> nn.Module:
        """A copy of the model, for captum to hook."""
        return private_copy(model, needs_layers=not self.of_outputs, explainer=self.algorithm_name)

    def finished(self, attributions: Tensor, inputs: Tensor, options: Mapping[str, Any]) -> Tensor:
        """What is returned for captum's attributions."""
        return attributions

    def _caution(self, copied: nn.Module, inputs: Float[Tensor, "1 *features"]) -> None:
        """Warns where the model computes what the algorithm does not see."""
        if self.of_relus:
            caution_functional_relus(self.algorithm_name, copied, inputs)

    def _attributions(
        self, explainer: Any, inputs: Tensor, target: Any, options: Mapping[str, Any], multiplied: bool
    ) -> Attributions:
        if not (self.complete and multiplied):
            return unwrapped(explainer.attribute(inputs, target=target, **options))
        result = explainer.attribute(inputs, target=target, return_convergence_delta=True, **options)
        if len(result) != 2:  # an empty attribution has no gap
            return unwrapped(result)
        parts = result[0] if isinstance(result[0], tuple) else (result[0],)
        gaps = gaps_of(result[1], len(inputs))
        if incomplete(parts, gaps):
            self._caution_incomplete(explainer, inputs, target, options, gaps)
        return unwrapped(result[0])

    def _caution_incomplete(
        self,
        explainer: Any,
        inputs: Tensor,
        target: Any,
        options: Mapping[str, Any],
        gaps: Float[Tensor, "batch"],
    ) -> None:
        """Warns of attributions whose sum misses the difference of the logits by `gaps`."""
        caution_incomplete(self.algorithm_name, gaps)

    def _compared(self, explainer: Any, baselines: Baselines, inputs: Tensor, seed: int) -> list[dict[str, Any]]:
        """The `baselines` of each call of captum."""
        if "baselines" not in inspect.signature(explainer.attribute).parameters:
            if baselines is not None:
                raise TypeError(f"{self.algorithm_name} compares with no baseline: leave baselines out")
            return [{}]
        several = baselines_for(baselines, inputs, seed, distribution=self.distribution)
        # Captum wants two rows at least to draw from.
        return [
            {"baselines": torch.cat([rows, rows]) if self.distribution and len(rows) == 1 else rows} for rows in several
        ]

    def _names(self, layer: Layer | list[Layer], module: nn.Module) -> list[str]:
        if not isinstance(layer, list):
            return [name_of(layer, module)]
        if not self.of_layers:
            raise TypeError(
                f"layer is a list of {len(layer)}, and {self.algorithm_name} attributes to one layer: call it once for "
                "each"
            )
        if not layer:
            raise ValueError("layer is an empty list: give a layer at least, or None for the last convolution")
        return [name_of(part, module) for part in layer]

    def _check_layers(self, copied: nn.Module, names: list[str], seen: Pass, *, outputs: bool) -> None:
        calls = seen.calls
        for name in names:
            if outputs and name in seen.nested:
                raise ValueError(
                    f"layer {name!r}, a {type(copied.get_submodule(name)).__name__}, returns neither a tensor nor a "
                    "tuple of tensors: name a layer that does, or set attribute_to_layer_input=True"
                )
            if calls[name] != 1:
                times = f"{calls[name]} times" if calls[name] else "not"
                applied = [known for known, _ in copied.named_modules() if known and calls[known] == 1]
                raise ValueError(
                    f"layer {name!r} is {times} applied in a forward pass: name a layer that is applied once, such as "
                    f"{', '.join(applied[-5:])}"
                )

    def _options(self, options: Mapping[str, Any], inputs: Tensor) -> dict[str, Any]:
        """The options for captum, checked.

        Raises:
            TypeError, ValueError: as `calculate_features`.
        """
        known = inspect.signature(self._captum().attribute).parameters
        names = [name for name, p in known.items() if p.kind is not p.VAR_KEYWORD and name not in OURS]
        options = {**self.defaults, **options}
        if "attribute_to_layer_input" not in names:
            self._ignore(attribute_to_layer_input=options.pop("attribute_to_layer_input", None))
        for option in options:
            if option not in names:
                raise TypeError(f"{self.algorithm_name} has no {option!r}; {nearest(option, names)}")
        return checked_options(options, tuple(inputs.shape[1:]))

    def _captum(self) -> Any:
        """Captum's class, whose `attribute` has the options."""
        return getattr(import_module("captum.attr"), self.algorithm)

    def _ignore(self, **options: Any) -> None:
        for name, value in options.items():
            if value is not None and value is not False:
                log.warning("%s attributes to inputs: %s is ignored, as in FoXAI", self.algorithm_name, name)


Explainer = CVExplainer
"""FoXAI's name of the base class since 0.6."""
