"""Layer-wise relevance propagation (Bach et al. 2015, doi.org/10.1371/journal.pone.0130140) by FoXAI's rules.

The relevance of a layer's input a_i is a_i sum_j dz_j/da_i R_j / (z_j + epsilon sign z_j), where z is the layer's
output by the rule's weights: w for the epsilon rule, w + 0.25 max(w, 0) for the gamma rule; biases as they are.

Which rule is where is FoXAI's: of the N modules of `model.modules()`, containers and the model itself among them,
numbers 0 to N // 2 have the gamma rule, the others the epsilon rule with epsilon 1e-9
(`BaseLRPCVExplainer.add_rules` in `foxai/explainer/computer_vision/algorithm/lrp.py` of `softwaremill/FoXAI`, after
Kohlbrenner et al. 2020, arxiv.org/abs/1910.09840). FoXAI's last module has epsilon 0, and NaN for a logit that is zero.
ReLU, dropout and tanh pass relevance on; other nonlinearities have the formula above, by their gradient.
"""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from .......methods.explainers.layers import Functions
from ...base_explainer import CVExplainer
from ...models import Model, Pass

GAMMA, EPSILON = 0.25, 1e-9
PASSING = (nn.ReLU, nn.Dropout, nn.Tanh)
"""Captum passes relevance through these types; a subclass is no such type for captum."""
LINEAR = (
    *(nn.Linear, nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm, nn.Upsample, nn.PixelShuffle),
    *(nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AvgPoolNd, nn.modules.pooling._AdaptiveAvgPoolNd),
    *(nn.modules.pooling._AdaptiveMaxPoolNd, nn.modules.dropout._DropoutNd, nn.Flatten, nn.Unflatten, nn.Identity),
    *(nn.modules.padding._ConstantPadNd, nn.modules.padding._ReflectionPadNd, nn.modules.padding._ReplicationPadNd),
)
NONLINEAR = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Sigmoid, nn.Tanh, nn.LogSigmoid, nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish),
    *(nn.Hardshrink, nn.Softshrink, nn.Tanhshrink, nn.Threshold),
)
HARMLESS = frozenset((
    *("view", "_unsafe_view", "reshape", "_reshape_alias", "t", "transpose", "permute", "movedim", "squeeze"),
    *("unsqueeze", "expand", "clone", "contiguous", "_to_copy", "detach", "alias", "lift_fresh", "cat", "stack"),
    *("slice", "select", "index", "index_select", "split", "split_with_sizes", "chunk", "unbind", "narrow", "flip"),
    *("roll", "unfold", "constant_pad_nd", "relu", "max_pool2d_with_indices", "max_pool3d_with_indices"),
    *("empty", "zeros", "ones", "full", "arange", "zeros_like", "ones_like", "full_like", "new_zeros", "scalar_tensor"),
))  # fmt: skip
"""Operations, by name, whose gradient passes relevance on as a rule would: reshapes, ReLU, the largest of a window."""
JOINS = frozenset(("add", "sub", "mul", "bmm"))
"""Operations that join activations, or add and multiply by a constant."""


class BaseLRPCVExplainer(CVExplainer):
    """Relevance from the logit back; a module's own `rule` comes before FoXAI's."""

    once = True

    def prepared(self, model: Model) -> nn.Module:
        """A copy with its own parameters, which captum writes to, no parametrizations, and rules."""
        copied = copy.deepcopy(super().prepared(model))
        for module in list(copied.modules()):
            if parametrize.is_parametrized(module):
                for name in list(module.parametrizations):  # pyrefly: ignore
                    parametrize.remove_parametrizations(module, name)
        self.add_rules(copied)
        # Captum looks at children alone.
        return copied if list(copied.children()) else nn.Sequential(copied)

    def add_rules(self, model: nn.Module) -> nn.Module:
        """Gives every layer without a `rule` FoXAI's rule.

        Raises:
            TypeError: a layer of a type that no rule is known for.
        """
        from captum.attr._utils.lrp_rules import EpsilonRule, GammaRule

        modules = list(model.named_modules())
        for index, (name, module) in enumerate(modules):
            if hasattr(module, "rule"):
                continue
            self._check(name, module)
            if not list(module.children()) and type(module) not in PASSING:
                module.rule = GammaRule(GAMMA) if index <= len(modules) // 2 else EpsilonRule(EPSILON)  # pyrefly: ignore
        return model

    def _check(self, name: str, module: nn.Module) -> None:
        container = type(module) in (nn.Sequential, nn.ModuleList, nn.ModuleDict)
        leaf = not list(module.children()) and not container
        if isinstance(module, nn.MultiheadAttention) or (leaf and not isinstance(module, LINEAR + NONLINEAR)):
            raise TypeError(
                f"{self.algorithm_name} has no rule for layer {name!r}, a {type(module).__name__}: give it one, for "
                "example layer.rule = IdentityRule() of captum.attr._utils.lrp_rules, or take another explainer, such "
                "as IntegratedGradientsCVExplainer"
            )

    def _caution(self, copied: nn.Module, inputs: Float[Tensor, "1 *features"]) -> None:
        """Warns of operations outside of modules that captum's rules do not see.

        Sums and products of activations hand all relevance to each branch; anything else multiplies it by its gradient.
        """
        from captum.attr._utils.custom_modules import Addition_Module

        modules = sum(isinstance(module, Addition_Module) for module in copied.modules())
        leaves = [module for module in copied.modules() if not list(module.children())]
        functions: list[str] = []
        with torch.enable_grad(), Functions(leaves, lambda name, *_: functions.append(name.removesuffix("_"))):
            joined = _joined(copied(inputs))
        of_constants = sum(name in JOINS for name in functions) > joined - modules
        if bent := sorted(set(functions) - HARMLESS - (frozenset() if of_constants else JOINS)):
            warnings.warn(
                f"{self.algorithm_name}: the network computes {', '.join(bent)} outside of modules, where relevance is "
                "multiplied by the gradient and no rule is applied: use modules, such as nn.GELU, nn.AvgPool2d, "
                "nn.AdaptiveAvgPool2d or nn.Linear, or take another explainer, such as IntegratedGradientsCVExplainer",
                stacklevel=2,
            )
        if joined > modules:
            warnings.warn(
                f"{self.algorithm_name}: the network adds or multiplies activations {joined - modules} times outside "
                "of modules (x + y), where each of them is handed all relevance: add by captum's Addition_Module "
                "(captum.attr._utils.custom_modules), or take another explainer, such as "
                "IntegratedGradientsCVExplainer",
                stacklevel=2,
            )


def _joined(output: Tensor) -> int:
    """How many sums and products of activations an output was computed by."""
    seen, left = set(), [output.grad_fn]
    while left:
        node = left.pop()
        if node is not None and node not in seen:
            seen.add(node)
            left += [before for before, _ in node.next_functions]
    joins = ("AddBackward", "MulBackward", "BmmBackward", "SubBackward")
    return sum(
        node.name().startswith(joins) and sum(before is not None for before, _ in node.next_functions) > 1
        for node in seen
    )


class LRPCVExplainer(BaseLRPCVExplainer):
    """The relevance of the inputs."""

    algorithm = "LRP"


class LayerLRPCVExplainer(BaseLRPCVExplainer):
    """The relevance of a layer's outputs, or of its inputs."""

    algorithm = "LayerLRP"
    of_layer = True
    of_layers = True

    def _check_layers(self, copied: nn.Module, names: list[str], seen: Pass, *, outputs: bool) -> None:
        super()._check_layers(copied, names, seen, outputs=outputs)
        for name in names:
            layer: Any = copied.get_submodule(name)
            if list(layer.children()) or type(layer) in PASSING:
                ruled = [known for known, module in copied.named_modules() if hasattr(module, "rule")]
                raise ValueError(
                    f"layer {name!r}, a {type(layer).__name__}, keeps no relevance of its own: name one of "
                    f"{', '.join(ruled)}"
                )
