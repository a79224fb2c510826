r"""The adversarial variant of ActDiff (Viviano, Simpson, Dutil, Bengio, Cohen: ICLR 2021).

    min over theta, max over phi:   loss = mean_n -log p_y(x_n)  -  strength * mean_n a_n e_n
    e_n = -log D(h(x~_n)) - log (1 - D(h(x_n)))

h are the features (the last layer's input), D = sigmoid(f(h)) says whether features are of an input with new content in
its forbidden part. x~_n and a_n are those of `actdiff`. The adversary's weights are parameters of the method, trained
with the network's by the same optimiser: the code adds the right-reason term, which the adversary minimises, and
changes the sign of its gradient on the way into the network, through both passes.

Deviations. The adversary has one hidden layer of `width` ReLUs; the authors' has three of 1,024 with spectral
normalisation. Both take a step at once, where the released adversary takes ten, so that its classifier learns from one
batch in ten. The released network lowers the adversary's errors on exchanged labels; here it raises the adversary's
own. Published strength 10, which scales the adversary's loss too: under Adam that has no effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.base import Batch, ShortcutDataset, generator
from ..base import Terms, annotated, cross_entropy, mitigations
from ..gradients import reversed_gradient
from ..last_layer import without_linear_head
from ..network import Net
from .actdiff import ActDiff

NAME = "actdiff_adversary."


@mitigations.register
class ActDiffAdversary(ActDiff):
    """Trains features from which an adversary cannot tell new content in the forbidden part.

    Attributes:
        width: units of the adversary's hidden layer.
    """

    name: ClassVar[str] = "actdiff_adversary"
    published_strength: ClassVar[float | None] = 10.0
    equation: ClassVar[str] = (
        r"\min_\theta \max_\phi \mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{n}{\operatorname{mean}}\, a_n \left( \log D(h(\tilde{x}_n)) + \log (1 - D(h(x_n))) \right), \\ "
        r"D(h) &= \operatorname{sigmoid}(f_\phi(h)), \quad a_n = [A_n \neq 0]"
    )

    width: Annotated[int, Field(ge=1)] = 64

    def obstacle(self, dataset: ShortcutDataset, module: nn.Module) -> str:
        return super().obstacle(dataset, module) or without_linear_head(module)

    def parameters(self, module: nn.Module, dataset: ShortcutDataset) -> Mapping[str, Tensor]:
        inputs, rng = int(module.head.in_features), generator(dataset.seed, "actdiff-adversary")  # pyrefly: ignore
        hidden = rng.normal(scale=(2 / inputs) ** 0.5, size=(self.width, inputs))
        output = rng.normal(scale=self.width**-0.5, size=(1, self.width))
        return {
            f"{NAME}hidden.weight": torch.from_numpy(hidden),
            f"{NAME}hidden.bias": torch.zeros(self.width),
            f"{NAME}output.weight": torch.from_numpy(output),
            f"{NAME}output.bias": torch.zeros(1),
        }

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        hidden, changed = net.features(batch.inputs), net.features(batch.draws["changed"])
        own, others = (guess(net, reversed_gradient(features)) for features in (hidden, changed))
        errors = F.softplus(own) + F.softplus(-others)  # -log (1 - D) and -log D
        return Terms(
            right_answer=cross_entropy(net.head(hidden), batch.labels),
            right_reason=strength * (annotated(self.forbidding(batch)) * errors).mean(),
        )


def guess(net: Net, hidden: Float[Tensor, "batch width"]) -> Float[Tensor, "batch"]:
    """f: the adversary's log odds that features are of an input with new content."""
    first, second = (
        (net.parameters[f"{NAME}{layer}.weight"], net.parameters[f"{NAME}{layer}.bias"])
        for layer in ("hidden", "output")
    )
    return F.linear(F.linear(hidden, *first).relu(), *second)[:, 0]
