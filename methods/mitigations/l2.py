r"""Weight decay as the mitigation (Krogh and Hertz, NeurIPS 1991).

    loss = mean_n -log p_y(x_n)  +  strength * sum_j theta_j^2

over all parameters theta_j. L2 knows nothing of the shortcut: it is the control for penalties that work because they
shrink the network. The penalty is part of the gradient, unlike AdamW's decay. Ross et al. (2017) add 1e-4 ||theta||^2
to a sum over 256 inputs: strength 1e-4 / 256 = 3.9e-7. `biases = False` leaves the biases out, as Ghitu et al. (2025)
do.

Hardly better than ERM on the data of tests/methods/mitigations/test_better_than_erm.py, which measures both: where the
shortcut is random, the accuracy of L2 at strength 0.01 is 0.76, ERM's is 0.75.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from ...datasets.base import Batch
from ..base import Mitigation, Terms, cross_entropy, mitigations
from ..network import Net


@mitigations.register
class L2(Mitigation):
    """Penalises the squared norm of the parameters."""

    name: ClassVar[str] = "l2"
    paper: ClassVar[str] = "Krogh & Hertz 1991"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda \sum_j \theta_j^2"
    )

    biases: Annotated[bool, Field(description="whether biases shrink too")] = True

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        penalised = [value for name, value in net.parameters.items() if self.biases or not name.endswith("bias")]
        norm = torch.stack([value.square().sum() for value in penalised]).sum()
        return Terms(cross_entropy(net(batch.inputs), batch.labels), strength * norm)
