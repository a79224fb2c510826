r"""Invariant risk minimisation (Arjovsky, Bottou, Gulrajani, Lopez-Paz: arXiv 1907.02893, IRMv1, eq. 3).

    loss = mean_n -log p_y(x_n)  +  strength * mean_e D_e^2,   D_e = mean_{n in e} d/dw -log softmax(w z_n)_y at w = 1

z are the logits, so the derivative of input n is d_n = sum_k p_k z_k - z_y. There are two environments e: the minority,
training inputs whose shortcut shows another label's value, and the majority, all other training inputs. A network that
reads the shortcut wants smaller logits in the minority and larger logits in the majority.

D_e^2 is estimated by d_n * d_m, with m drawn anew in every step from the batch's inputs of n's environment, n itself
included. The mean over the draws is the square of the batch's D_e, as in the paper's experiments. So the right-reason
term is a mean over the batch, in which each product counts N / (2 N_e). The paper's appendix D multiplies the D_e of
two halves of a batch. That product is unbiased, but training on the same inputs for many epochs then finds networks
with a penalty below 0.

Deviations: the right-answer term is the mean over all inputs and not over environments, so that strength 0 is ERM;
strengths are neither annealed nor divided out of the loss. Without annealing the useful strengths are few: on the data
of tests/methods/mitigations/test_better_than_erm.py, the accuracy where the shortcut is random is 0.75 for ERM, 0.78
for IRM at strength 0.3 and 0.63 for IRM at strength 3.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...datasets.base import Batch
from ..base import Mitigation, Supervision, Terms, cross_entropy, mitigations
from ..choosing import choose_candidate
from ..fitting import Fitted, Trainer
from ..groups import inverse_shares
from ..network import Net


@mitigations.register
class IRM(Mitigation):
    """Penalises logits whose best scale differs between majority and minority."""

    name: ClassVar[str] = "irm"
    paper: ClassVar[str] = "Arjovsky et al. 2019"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{e}{\operatorname{mean}} D_e^2, \\ "
        r"D_e &= \underset{n \in e}{\operatorname{mean}} \left. \frac{\partial}{\partial w} (-\log "
        r"\operatorname{softmax}(w z_n)_{y_n}) \right|_{w = 1}"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"groups"})
    needs_minority: ClassVar[bool] = True
    carries: ClassVar[frozenset[str]] = frozenset({"environment", "inverse_shares"})

    def augment(self, batch: Batch, classes: int, generator: torch.Generator) -> Batch:
        environment = batch.draws["environment"]
        partners = choose_candidate(environment[:, None] == environment, generator)
        drawn = {"partners": batch.inputs[partners], "partner_labels": batch.labels[partners]}
        return batch._replace(draws={**batch.draws, **drawn})

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        draws, logits = batch.draws, net(batch.inputs)
        derivatives = scale_derivative(logits, batch.labels)
        partner_derivatives = scale_derivative(net(draws["partners"]), draws["partner_labels"])
        weights = draws["inverse_shares"].to(logits) / 2
        return Terms(
            cross_entropy(logits, batch.labels), strength * (weights * derivatives * partner_derivatives).mean()
        )

    def environments(self, trainer: Trainer) -> Int[Tensor, "seeds n"]:
        """The environment of each training input, 0 or 1."""
        return torch.stack([draw.minority for draw in trainer.draws]).long().to(trainer.device)

    def fit(self, trainer: Trainer) -> Fitted:
        environment = self.environments(trainer)
        shares = inverse_shares(environment, environment, trainer.dtype)
        return trainer.train(self, given={"environment": environment, "inverse_shares": shares})


def scale_derivative(logits: Float[Tensor, "batch classes"], labels: Int[Tensor, "batch"]) -> Float[Tensor, "batch"]:
    """d/dw -log softmax(w z)_y at w = 1: sum_k p_k z_k - z_y."""
    return (logits.softmax(-1) * logits).sum(-1) - logits.gather(-1, labels[:, None])[:, 0]
