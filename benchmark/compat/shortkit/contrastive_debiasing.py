r"""ShortKit-ML's M07: Correct-N-Contrast on embeddings (Zhang et al., ICML 2022).

    loss = (1 - contrastive_weight) * mean_n -log p_y(x_n)  +  contrastive_weight * mean_n a_n c_n

with c_n and a_n of `methods.mitigations.contrastive_debiasing`: positives have the task label and another group,
negatives another task label and the same group, and every positive is a target. The features are a linear layer of the
standardised embedding with ReLU and dropout. Groups are given, so the paper's first stage, which predicts them, is not
here.

A low temperature lets the group come back. Once labels are apart, negatives have no share in the softmax (1e-8 of it at
temperature 0.05 after 25 epochs on the tests' embeddings), and what is left, log sum_p exp(s_p / T) - mean_p s_p / T,
asks that all positives are equally near, not that they are near. At a temperature of 0.5 the negatives keep a share of
0.1, and positives are pulled for as long as training goes on. So `fit` measures what is left of the group, and says it.
"""

from __future__ import annotations

from dataclasses import KW_ONLY

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from pydantic.dataclasses import dataclass
from torch import Tensor

from ....datasets.base import Batch
from ....methods.mitigations.contrastive_debiasing import ContrastiveDebiasing as Contrast
from ....methods.network import Net
from .arrays import as_embeddings, encoded
from .embeddings import Encoder, Encoding, batch_of, train
from .probe import accuracy_of_probe, check_groups
from .settings import SETTINGS, Count, Device, Dropout, Positive, Seed, Share, Switch, check_settings, seeded

SMALLEST_BATCH = 3
"""An input, a positive, and a negative."""
ADVICE = (
    "Raise temperature to 1 (negatives that are far have no pull at a low one), lower hidden_dim, or take "
    "AdversarialDebiasing without task_labels"
)


@dataclass(config=SETTINGS)
class ContrastiveDebiasing(Encoding):
    """Learns features of embeddings in which one task label's groups lie together.

    Args:
        hidden_dim: features; None for 64, or the embeddings' width if that is less.
        use_task_loss: False leaves the first term out, and the second alone, with weight 1.
        batch_size: one step of the optimiser for each batch; pairs are drawn from it.
        device: None for the CPU, where the embeddings are.
        pairs: positives, and negatives, of each input in each step.

    Attributes:
        group_accuracy_: after `fit`, the accuracy of a logistic regression from features to groups: see `probe.Probe`.

    Raises:
        ValueError: an argument out of its range, or of another type.
    """

    hidden_dim: Count | None = None
    temperature: Positive = 0.05
    contrastive_weight: Share = 0.75
    use_task_loss: Switch = True
    n_epochs: Count = 50
    batch_size: Count = 64
    lr: Positive = 1e-3
    dropout: Dropout = 0.1
    device: Device = None
    random_state: Seed = None
    _: KW_ONLY
    pairs: Count = 16

    def fit(self, embeddings: ArrayLike, task_labels: ArrayLike, group_labels: ArrayLike) -> ContrastiveDebiasing:
        """Trains the encoder. Warns (`GroupStays`) if the group can still be read from the features.

        Raises:
            ValueError: embeddings or labels that are none; lengths that differ; one task label or one group only; a
                task label that occurs in one group only; batches too small for pairs.
            RuntimeError: the training diverges.
        """
        check_settings(self)
        if self.batch_size < SMALLEST_BATCH:
            raise ValueError(f"batch_size is {self.batch_size}: pairs are drawn from the batch, give 3 or more")
        array = as_embeddings(embeddings)
        tasks, labels = encoded("task_labels", task_labels, len(array))
        groups, shortcuts = encoded("group_labels", group_labels, len(array))
        self._check(tasks.tolist(), groups.tolist(), labels, shortcuts)
        device, method = torch.device(self.device or "cpu"), Contrast(temperature=self.temperature, pairs=self.pairs)
        weight = self.contrastive_weight if self.use_task_loss else 1.0

        with seeded(self.random_state, device) as generator:

            def loss(net: Net, batch: Batch) -> Float[Tensor, ""]:
                terms = method.terms(net, method.augment(batch, len(tasks), generator), torch.tensor(weight))
                return (1 - weight) * terms.right_answer + terms.right_reason

            encoder = Encoder(array, self.hidden_dim, len(tasks), self.dropout).to(device)
            inputs = batch_of(encoder.standardised(array), labels, shortcuts)
            train(encoder, {}, inputs, loss, generator, epochs=self.n_epochs, batch_size=self.batch_size, lr=self.lr)
        self._encoder = encoder
        self.group_accuracy_ = accuracy_of_probe(self, array, labels, shortcuts, ADVICE)
        return self

    def fit_transform(
        self, embeddings: ArrayLike, task_labels: ArrayLike, group_labels: ArrayLike
    ) -> Float[np.ndarray, "n hidden"]:
        """`fit`, then `transform` of the same embeddings."""
        return self.fit(embeddings, task_labels, group_labels).transform(embeddings)

    def _check(self, tasks: list, groups: list, labels: Int[np.ndarray, "n"], shortcuts: Int[np.ndarray, "n"]) -> None:
        if len(tasks) < 2:
            raise ValueError(f"task_labels are all {tasks[0]!r}: negatives need at least 2 task classes")
        if len(groups) < 2:
            raise ValueError(f"group_labels are all {groups[0]!r}: positives need at least 2 groups")
        alone = [task for index, task in enumerate(tasks) if len(np.unique(shortcuts[labels == index])) < 2]
        if alone:
            raise ValueError(
                f"task labels {tasks}, of which {alone} occur in one group only: positives need each task label in two "
                "groups or more, so leave these task labels out"
            )
        check_groups("group_labels", shortcuts)
