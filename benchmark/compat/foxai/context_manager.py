"""FoXAI's context manager: a prediction and its explanations in one call."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import Enum, EnumType
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

from ....datasets.registry import nearest
from ....methods.explainers.base import evaluating
from . import explainer
from .explainer.attributions import Attributions, mapped
from .explainer.base_explainer import CVExplainer
from .explainer.models import Model, module_of
from .explainer.targets import Target

log = logging.getLogger(__name__)


class _NamesOfFoXAI(EnumType):
    """Says of a name of FoXAI's that is not here what to take."""

    ABSENT = {  # noqa: RUF012
        "CV_FULL_GRADIENTS_EXPLAINER": "FullGradientCVExplainer",
        "CV_XRAI_EXPLAINER": "XRAICVExplainer",
    }

    def __getattr__(cls, name: str) -> Any:
        members = cls.__dict__.get("_member_map_", {})
        if name in members:
            return members[name]
        if name in cls.ABSENT:
            raise AttributeError(f"{cls.__name__} has no {name}: {explainer.ABSENT[cls.ABSENT[name]]}")
        raise AttributeError(f"{cls.__name__} has no {name}; {nearest(name, members)}")


class CVClassificationExplainers(Enum, metaclass=_NamesOfFoXAI):
    """The explainers by FoXAI's names; the values are the names of the classes, as in FoXAI."""

    CV_OCCLUSION_EXPLAINER = "OcclusionCVExplainer"
    CV_INTEGRATED_GRADIENTS_EXPLAINER = "IntegratedGradientsCVExplainer"
    CV_NOISE_TUNNEL_EXPLAINER = "NoiseTunnelCVExplainer"
    CV_GRADIENT_SHAP_EXPLAINER = "GradientSHAPCVExplainer"
    CV_LRP_EXPLAINER = "LRPCVExplainer"
    CV_GUIDEDGRADCAM_EXPLAINER = "GuidedGradCAMCVExplainer"
    CV_LAYER_INTEGRATED_GRADIENTS_EXPLAINER = "LayerIntegratedGradientsCVExplainer"
    CV_LAYER_NOISE_TUNNEL_EXPLAINER = "LayerNoiseTunnelCVExplainer"
    CV_LAYER_GRADIENT_SHAP_EXPLAINER = "LayerGradientSHAPCVExplainer"
    CV_LAYER_LRP_EXPLAINER = "LayerLRPCVExplainer"
    CV_LAYER_GRADCAM_EXPLAINER = "LayerGradCAMCVExplainer"
    CV_INPUT_X_GRADIENT_EXPLAINER = "InputXGradientCVExplainer"
    CV_LAYER_INPUT_X_GRADIENT_EXPLAINER = "LayerInputXGradientCVExplainer"
    CV_DEEPLIFT_EXPLAINER = "DeepLIFTCVExplainer"
    CV_LAYER_DEEPLIFT_EXPLAINER = "LayerDeepLIFTCVExplainer"
    CV_DEEPLIFT_SHAP_EXPLAINER = "DeepLIFTSHAPCVExplainer"
    CV_LAYER_DEEPLIFT_SHAP_EXPLAINER = "LayerDeepLIFTSHAPCVExplainer"
    CV_DECONVOLUTION_EXPLAINER = "DeconvolutionCVExplainer"
    CV_LAYER_CONDUCTANCE_EXPLAINER = "LayerConductanceCVExplainer"
    CV_SALIENCY_EXPLAINER = "SaliencyCVExplainer"
    CV_GUIDED_BACKPOPAGATION_EXPLAINER = "GuidedBackpropCVExplainer"


class ExplainerWithParams:
    """An explainer by name, and the arguments of its `calculate_features`.

    Raises:
        TypeError: no member of `CVClassificationExplainers`.
    """

    def __init__(self, explainer_name: CVClassificationExplainers, **kwargs: Any) -> None:
        if not isinstance(explainer_name, CVClassificationExplainers):
            names = [member.name for member in CVClassificationExplainers]
            raise TypeError(
                f"explainer_name = {explainer_name!r}: give a member of CVClassificationExplainers; "
                f"{nearest(str(explainer_name), names)}"
            )
        self.explainer_name = explainer_name
        self.kwargs = kwargs


@dataclass
class ExplainerClassWithParams:
    """An explainer, and the arguments of its `calculate_features`."""

    explainer_class: CVExplainer
    kwargs: dict[str, Any] = field(default_factory=dict)


class Explanations(dict[str, Attributions]):
    """Attributions by FoXAI's keys, NAME_0, NAME_1, …; NAME alone is found where one explainer has it."""

    def __missing__(self, name: str) -> Attributions:
        """The attributions of the only explainer of this name.

        Raises:
            KeyError: none or several have the name.
        """
        keys = [key for key in self if key.rpartition("_")[0] == name]
        if len(keys) != 1:
            raise KeyError(f"{name} is the key of {len(keys)} explanations: take one of {', '.join(self)}")
        return self[keys[0]]


class FoXaiExplainer:
    """Explains a model's predictions; the model is in evaluation mode inside the `with`.

        saliency = ExplainerWithParams(CVClassificationExplainers.CV_SALIENCY_EXPLAINER)
        with FoXaiExplainer(model, [saliency], target=3) as explained:
            output, attributions = explained(images)
        attributions["CV_SALIENCY_EXPLAINER_0"]

    Args:
        target: what is explained: a class for all inputs, or one for each.

    Attributes:
        explainer_map: the explainers by their keys, NAME_0, NAME_1, … by the position in the list.

    Raises:
        ValueError: there is no explainer.
        TypeError: an explainer is no `ExplainerWithParams`, or the model can not be called.
    """

    def __init__(self, model: Model, explainers: Sequence[ExplainerWithParams], target: Target = 0) -> None:
        if not explainers:
            raise ValueError("there is no explainer to run: give one ExplainerWithParams at least")
        for given in explainers:
            if not isinstance(given, ExplainerWithParams):
                raise TypeError(f"explainers holds {given!r}: give ExplainerWithParams({given!r}, ...)")
        module_of(model)
        self.model = model
        self.target = target
        self.explainer_map = {
            f"{given.explainer_name.name}_{index}": ExplainerClassWithParams(
                getattr(explainer, given.explainer_name.value)(), dict(given.kwargs)
            )
            for index, given in enumerate(explainers)
        }
        self._entered = ExitStack()

    def __enter__(self) -> Self:
        if isinstance(self.model, nn.Module) and self.model.training:
            log.warning("the model is in training mode: it is explained in evaluation mode, and set back afterwards")
        self._entered.enter_context(evaluating(self.model))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._entered.close()

    def __call__(self, *inputs: Tensor, **further: Any) -> tuple[Any, dict[str, Attributions]]:
        """What the model says, and every explainer's attributions, on the CPU.

        Raises:
            NotImplementedError: not one tensor of inputs.
        """
        if len(inputs) != 1 or further:
            raise NotImplementedError(
                f"{len(inputs)} inputs and {len(further)} named arguments: explanations are of one tensor of inputs; "
                "give the model's further arguments by ExplainerWithParams(..., additional_forward_args=(...))"
            )
        with evaluating(self.model), torch.no_grad():
            output = self.model(*inputs)
        attributions = Explanations()
        for name, chosen in self.explainer_map.items():
            found = chosen.explainer_class.calculate_features(self.model, inputs[0], self.target, **chosen.kwargs)
            attributions[name] = mapped(Tensor.cpu, found)
        return output, attributions
