r"""Learning from failure (LfF: Nam, Cha, Ahn, Lee, Shin, NeurIPS 2020, section 3).

    loss = mean_n W_n * -log p_y(x_n)  +  mean_n (1 - b_y(x_n)^q) / q
    W_n  = -log b_y(x_n) / (-log b_y(x_n) - log p_y(x_n)),   a constant for the gradient

b is the softmax of a second network, which is trained beside the first and dropped. Its loss, the generalised
cross-entropy, has the gradient b_y^q times the cross-entropy's: it learns best what is easy, the shortcut. Inputs that
it fails on count more for the first network. Neither masks nor groups are used. No strength.

Deviations. W is computed from the batch's own errors, as the paper's main text has it; the released code takes running
means of each input's errors over epochs, divided by the largest of the input's class. The released code multiplies the
generalised cross-entropy's gradient by q once more, which Adam does not see. The second network begins with the first
network's initial parameters, shuffled within each parameter tensor. Curves show the sum of both losses.

Inputs with a wrong label count more, too. Not run where every training input's shortcut shows the value of the input's
label: what the second network fails on is then hard and not a minority.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.base import Batch, ShortcutDataset, generator
from ..base import Mitigation, Terms, mitigations
from ..network import Net

BIASED = "biased."
"""Begins the names of the second network's parameters."""
EPSILON = 1e-8


@mitigations.register
class LfF(Mitigation):
    """Gives more weight to inputs that a second network, which prefers what is easy, fails on.

    Attributes:
        q: how much the second network prefers inputs that it already classifies rightly; near 0 its loss is the
            cross-entropy.
    """

    name: ClassVar[str] = "lff"
    paper: ClassVar[str] = "Nam et al. 2020"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}}\, W_n \log p_{y_n}(x_n) + "
        r"\underset{n}{\operatorname{mean}} \frac{1 - b_{y_n}(x_n)^q}{q}, \\ "
        r"W_n &= \frac{\log b_{y_n}(x_n)}{\log b_{y_n}(x_n) + \log p_{y_n}(x_n)}"
    )
    needs_minority: ClassVar[bool] = True
    has_strength: ClassVar[bool] = False

    q: Annotated[float, Field(gt=0, le=1)] = 0.7

    def parameters(self, module: nn.Module, dataset: ShortcutDataset) -> Mapping[str, Tensor]:
        rng = generator(dataset.seed, "lff")
        trained = {name: value for name, value in module.named_parameters() if value.requires_grad}
        return {
            BIASED + name: shuffled(value.detach(), rng.permutation(value.numel())) for name, value in trained.items()
        }

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        own = {
            name: net.parameters.get(BIASED + name, net.parameters[name]) for name, _ in net.module.named_parameters()
        }
        error = F.cross_entropy(net(batch.inputs), batch.labels, reduction="none")
        biased_error = F.cross_entropy(Net(net.module, own)(batch.inputs), batch.labels, reduction="none")
        weights = relative_difficulty(biased_error, error)
        right_answer = (weights * error).mean() + generalised_cross_entropy(biased_error, self.q).mean()
        return Terms(right_answer, right_reason=right_answer.new_zeros(()))


def relative_difficulty(biased_error: Float[Tensor, "batch"], error: Float[Tensor, "batch"]) -> Float[Tensor, "batch"]:
    """W: the biased network's share of the sum of both errors, a constant."""
    biased_error, error = biased_error.detach(), error.detach()
    return biased_error / (biased_error + error + EPSILON)


def generalised_cross_entropy(error: Float[Tensor, "batch"], q: float) -> Float[Tensor, "batch"]:
    """(1 - p_y^q) / q, from the error -log p_y."""
    return -torch.expm1(-q * error) / q


def shuffled(values: Float[Tensor, "*shape"], order: Int[np.ndarray, "numbers"]) -> Float[Tensor, "*shape"]:
    """The entries of a tensor in another order."""
    return values.flatten()[torch.from_numpy(order).to(values.device)].view_as(values)
