"""FoXAI's image explainers under their own names and arguments, without their known faults: `docs/foxai.md`.

    from rrrbench.benchmark.compat.foxai.explainer import IntegratedGradientsCVExplainer  # was: foxai.explainer

Modules and names are FoXAI's: `context_manager`, `explainer`, `metrics`, `visualizer`; the names are here too. Written
anew over captum; no code of FoXAI (`softwaremill/FoXAI`, 0.6.0) is in here.
"""

from .context_manager import (
    CVClassificationExplainers,
    ExplainerClassWithParams,
    ExplainerWithParams,
    FoXaiExplainer,
)
from .explainer import *  # noqa: F403
from .explainer import __all__ as _explainers
from .explainer.computer_vision.model_utils import get_last_conv_model_layer
from .metrics import deletion, insertion
from .visualizer import draw_image, mean_channels_visualization, single_channel_visualization, visualize_metric

__all__ = [
    *_explainers,
    "CVClassificationExplainers",
    "ExplainerClassWithParams",
    "ExplainerWithParams",
    "FoXaiExplainer",
    "deletion",
    "draw_image",
    "get_last_conv_model_layer",
    "insertion",
    "mean_channels_visualization",
    "single_channel_visualization",
    "visualize_metric",
]
