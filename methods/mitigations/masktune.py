r"""MaskTune (Asgari et al., NeurIPS 2022, section 3).

Stage 1 is ERM. Stage 2 trains for one further epoch, from ERM's parameters, and hides the pixels of every input that
the network looked at most:

    loss = mean_n -log p_y( (1 - T_n) * x_n ),   T_nd = 1 where e_nd > mean + 2 standard deviations of the positive e_n

e_n = x_n * d log(p_k / (1 - p_k)) / dx_n, of the predicted class k, summed over channels. Neither masks nor groups are
used. No strength.

Deviations: input times gradient in place of xGradCAM, which needs feature maps that dense networks do not have, so that
single pixels are hidden and not blobs; the map is the last network's and not that of the network with the best
validation accuracy; the optimiser's moments begin anew, at the same learning rate.

No better than ERM on the data of tests/methods/mitigations/test_better_than_erm.py, which measures both: where the
shortcut is random, the accuracy of MaskTune is 0.70, ERM's is 0.75.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from ...datasets.base import Batch
from ..base import Mitigation, Terms, cross_entropy, mitigations
from ..fitting import Fitted, Trainer
from ..gradients import input_gradient, predicted_log_odds
from ..network import Net
from .erm import ERM


@mitigations.register
class MaskTune(Mitigation):
    """Trains for one more epoch on inputs whose salient pixels are hidden."""

    name: ClassVar[str] = "masktune"
    paper: ClassVar[str] = "Asgari et al. 2022"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}((1 - T_n) \odot x_n), \\ "
        r"T_{nd} &= [e_{nd} > \operatorname{mean}(e_n^+) + \text{deviations} \cdot \operatorname{std}(e_n^+)], \\ "
        r"e_n &= x_n \odot \frac{\partial}{\partial x_n} \log \frac{p_k(x_n)}{1 - p_k(x_n)}, \quad k = "
        r"\operatorname{argmax}_j p_j(x_n)"
    )
    has_strength: ClassVar[bool] = False

    deviations: Annotated[float, Field(ge=0)] = 2.0
    epochs: Annotated[int, Field(ge=1)] = 1

    @property
    def stages(self) -> int:
        return 2

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        right_answer = cross_entropy(net(batch.inputs * ~batch.masks), batch.labels)
        return Terms(right_answer, right_reason=right_answer.new_zeros(()))

    def fit(self, trainer: Trainer) -> Fitted:
        first = trainer.train(ERM())
        masks = trainer.per_input(first, self.salient)
        return trainer.altered(epochs=self.epochs).train(self, masks=masks, start=first.parameters)

    def salient(self, net: Net, batch: Batch) -> Bool[Tensor, "batch *#features"]:
        """T: where an input's evidence for the predicted class is exceptionally large; the same for all channels."""
        gradient, _ = input_gradient(net, batch.inputs, predicted_log_odds)
        evidence = gradient * batch.inputs
        evidence = evidence.sum(1, keepdim=True) if evidence.dim() > 2 else evidence
        flat = evidence.flatten(1)
        positive = flat > 0
        count = positive.sum(1, keepdim=True).clamp(min=1)
        mean = (flat * positive).sum(1, keepdim=True) / count
        variance = ((flat - mean).square() * positive).sum(1, keepdim=True) / count
        return (flat > mean + self.deviations * variance.sqrt()).view_as(evidence)
