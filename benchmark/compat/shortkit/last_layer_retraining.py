r"""ShortKit-ML's M06: deep feature reweighting (Kirichenko, Izmailov, Wilson: ICLR 2023) on embeddings.

The last layer anew, by logistic regression on standardised embeddings of balanced inputs: of every (task label, group
label) pair that occurs, as many as the rarest has, drawn `refits` times; weights and biases are averaged. ShortKit-ML
balances the group labels alone, which leaves p(task | group), the shortcut, as it was.

Kirichenko et al. fit on inputs that the embedding was not trained on, and choose C there: give such embeddings.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Shaped
from numpy.typing import ArrayLike
from pydantic.dataclasses import dataclass

from ....methods.groups import groups
from ....methods.last_layer import head_of, logistic_regression
from ....methods.mitigations.dfr import balanced_subset
from .embeddings import as_embeddings, encoded
from .settings import SETTINGS, Count, Positive, Seed


@dataclass(config=SETTINGS)
class LastLayerRetraining:
    """Retrains the last layer on embeddings in which all groups are equally frequent.

    Args:
        C: inverse of the penalty's weight.
        solver: scikit-learn's; `liblinear` knows two classes only, for more it is `saga` (l1) or `lbfgs` (l2).
        refits: subsets that are drawn and averaged.

    Attributes:
        classes_: the task labels; after `fit`.
        coef_, intercept_: the layer, in the embeddings' own units; after `fit`.

    Raises:
        ValueError: an argument out of its range.
    """

    C: Positive = 1.0
    penalty: Literal["l1", "l2"] = "l1"
    solver: str = "liblinear"
    class_weight: Literal["balanced"] | None = "balanced"
    random_state: Seed = None
    _: KW_ONLY
    refits: Count = 10

    def fit(
        self, embeddings: Float[np.ndarray, "n width"], task_labels: ArrayLike, group_labels: ArrayLike
    ) -> LastLayerRetraining:
        """Fits the layer.

        Args:
            group_labels: what the shortcut says.

        Raises:
            ValueError: lengths that differ, one task label only, or no task label that occurs in two groups.
        """
        replace(self)  # validates settings that were changed since the construction
        hidden = as_embeddings(embeddings).astype(np.float64)
        self.classes_, labels = encoded(task_labels, hidden)
        _, shortcuts = encoded(group_labels, hidden)
        group, counts = groups(torch.from_numpy(labels), torch.from_numpy(shortcuts))
        classes = len(self.classes_)
        if classes < 2 or len(counts) == classes:
            raise ValueError(
                f"{classes} task labels in {len(counts)} (task, group) pairs: there is nothing to balance unless a "
                "task label occurs in two groups"
            )
        solver = self.solver
        if solver == "liblinear" and classes > 2:
            solver = {"l1": "saga", "l2": "lbfgs"}[self.penalty]
        rng, heads = np.random.default_rng(self.random_state), []
        for _ in range(self.refits):
            subset = balanced_subset(group.numpy(), rng)
            model = logistic_regression(
                C=self.C,
                l1_ratio=float(self.penalty == "l1"),
                solver=solver,
                class_weight=self.class_weight,
                random_state=int(rng.integers(2**31)),
            )
            heads.append(head_of(model.fit(hidden[subset], labels[subset]), classes))
        self.coef_, self.intercept_ = (np.mean(part, axis=0) for part in zip(*heads, strict=True))
        return self

    def predict(self, embeddings: Float[np.ndarray, "n width"]) -> Shaped[np.ndarray, "n"]:
        """Task labels.

        Raises:
            RuntimeError: before `fit`.
        """
        if not hasattr(self, "coef_"):
            raise RuntimeError("not fitted: call fit first")
        return self.classes_[(as_embeddings(embeddings) @ self.coef_.T + self.intercept_).argmax(1)]

    def fit_predict(
        self, embeddings: Float[np.ndarray, "n width"], task_labels: ArrayLike, group_labels: ArrayLike
    ) -> Shaped[np.ndarray, "n"]:
        """`fit`, then `predict` of the same embeddings."""
        return self.fit(embeddings, task_labels, group_labels).predict(embeddings)
