r"""Environment inference for invariant learning (EIIL: Creager, Jacobsen, Zemel, ICML 2021).

Stage 1 is ERM for a few epochs. Its network divides the training inputs into the two environments that violate the
invariance of stage 2, which is IRM, the most:

    q   = argmax over q in [0, 1]^N of  1/2 (mean_n q_n d_n)^2 + 1/2 (mean_n (1 - q_n) d_n)^2
    d_n = d/dw -log softmax(w z_n)_y at w = 1 = sum_k p_k z_k - z_y

    loss = mean_n -log p_y(x_n)  +  strength * mean_e D_e^2,   D_e = mean_{n in e} d/dw -log softmax(w z_n)_y at w = 1

The objective is convex in q, and its two sums add up to mean_n d_n whatever q is. So it is greatest where one of the
sums is as large or as small as can be: at q_n = [d_n > 0], or at the complement, which names the same environments. For
two classes d_n = -(1 - p_y)(z_y - z_other): the environments are the inputs that stage 1 classifies wrongly and
rightly, as in JTT. For more classes they are the inputs whose true logit is below the expected logit, and above.

Deviations. The authors begin at random and take 10,000 steps of Adam, whose optimum is the closed form above; the
gradients there are of the order of Adam's epsilon, so that inputs with a small d_n stay near their random start. They
train IRM with a strength of 1.9e5 from step 190 on and divide the loss by it; here the strength is constant, and the
useful strengths are far smaller (see `irm`): on decoy digits at a correlation of 0.95, the mlp is worse than ERM's at
0.1 already. An environment's D_e is the mean over its inputs in stage 2, and in the objective of q a mean over all
inputs, as released.

Not run where every training input's shortcut shows the value of the input's label: the environments would then be hard
and easy inputs.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from ..base import Supervision, mitigations
from ..fitting import Trainer
from .erm import ERM
from .irm import IRM, scale_derivative


@mitigations.register
class EIIL(IRM):
    """Trains by IRM with environments that a first network's errors infer.

    Attributes:
        first_epochs: epochs of the first network as a share of the training's epochs, at least 1 epoch.
    """

    name: ClassVar[str] = "eiil"
    paper: ClassVar[str] = "Creager et al. 2021"
    published_strength: ClassVar[float | None] = 1.9e5
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{e}{\operatorname{mean}} D_e^2, \\ "
        r"D_e &= \underset{n \in e}{\operatorname{mean}} \left. \frac{\partial}{\partial w} (-\log "
        r"\operatorname{softmax}(w z_n)_{y_n}) \right|_{w = 1}, \quad e_n = \left[ \sum_k p^{(1)}_k(x_n)\, "
        r"z^{(1)}_k(x_n) > z^{(1)}_{y_n}(x_n) \right]"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset()

    first_epochs: Annotated[float, Field(gt=0, le=1)] = 0.2

    @property
    def stages(self) -> int:
        return 2

    def environments(self, trainer: Trainer) -> Int[Tensor, "seeds n"]:
        epochs = max(1, round(self.first_epochs * trainer.epochs))
        first = trainer.altered(epochs=epochs).train(ERM(), strengths=torch.zeros_like(trainer.strengths[:, :1]))
        derivatives = trainer.per_input(first, lambda net, batch: scale_derivative(net(batch.inputs), batch.labels))
        return most_violating(derivatives[:, 0])


def most_violating(derivatives: Float[Tensor, "*seeds n"]) -> Int[Tensor, "*seeds n"]:
    """The environments, 0 or 1, that maximise `violation`."""
    return (derivatives > 0).long()


def violation(q: Float[Tensor, "n"], derivatives: Float[Tensor, "n"]) -> Float[Tensor, ""]:
    """The objective of environment inference: 1/2 (mean_n q_n d_n)^2 + 1/2 (mean_n (1 - q_n) d_n)^2."""
    return ((q * derivatives).mean().square() + ((1 - q) * derivatives).mean().square()) / 2
