r"""ShortKit-ML's M06: deep feature reweighting (Kirichenko, Izmailov, Wilson: ICLR 2023) on embeddings.

The last layer anew, by logistic regression on standardised embeddings of balanced inputs: of every (task label, group
label) pair that occurs, as many as the rarest has, drawn `refits` times; weights and biases are averaged. ShortKit-ML
balances the group labels alone, which leaves p(task | group), the shortcut, as it was.

Kirichenko et al. fit on inputs that the embedding was not trained on, and choose C there: give such embeddings.
"""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from jaxtyping import Float, Shaped
from numpy.typing import ArrayLike
from pydantic.dataclasses import dataclass

from ....methods.groups import groups
from ....methods.last_layer import head_of, logistic_regression
from ....methods.mitigations.dfr import balanced_subset
from .arrays import as_embeddings, encoded
from .embeddings import check_width, not_fitted
from .settings import SETTINGS, Count, Positive, Seed, check_settings

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

Solver = Literal["liblinear", "saga", "lbfgs", "newton-cg", "newton-cholesky", "sag"]
WITH_L1 = ("liblinear", "saga")


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
        scaler_: a StandardScaler of the embeddings; None before `fit`.
        classifier_: a LogisticRegression that is the same layer on scaled embeddings, and predicts positions in
            `classes_`; None before `fit`.

    Raises:
        ValueError: an argument out of its range, or of another type.
    """

    C: Positive = 1.0
    penalty: Literal["l1", "l2"] = "l1"
    solver: Solver = "liblinear"
    class_weight: Literal["balanced"] | None = "balanced"
    random_state: Seed = None
    _: KW_ONLY
    refits: Count = 10

    def __post_init__(self) -> None:
        if self.penalty == "l1" and self.solver not in WITH_L1:
            raise ValueError(f"solver {self.solver!r} knows no l1 penalty: give 'liblinear' or 'saga', or penalty='l2'")
        self.scaler_: StandardScaler | None = None
        self.classifier_: LogisticRegression | None = None

    def fit(self, embeddings: ArrayLike, task_labels: ArrayLike, group_labels: ArrayLike) -> LastLayerRetraining:
        """Fits the layer.

        Args:
            group_labels: what the shortcut says.

        Raises:
            ValueError: embeddings or labels that are none; lengths that differ; one task label only; no task label
                that occurs in two groups.
        """
        check_settings(self)
        hidden = as_embeddings(embeddings).astype(np.float64)
        tasks, labels = encoded("task_labels", task_labels, len(hidden))
        _, shortcuts = encoded("group_labels", group_labels, len(hidden))
        group, counts = groups(torch.from_numpy(labels), torch.from_numpy(shortcuts))
        classes = len(tasks)
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
        self.classes_ = tasks
        self.coef_, self.intercept_ = (np.mean(part, axis=0) for part in zip(*heads, strict=True))
        self.scaler_, self.classifier_ = self._as_scikit_learn(hidden)
        return self

    def predict(self, embeddings: ArrayLike) -> Shaped[np.ndarray, "n"]:
        """Task labels.

        Raises:
            NotFittedError: before `fit`; a ValueError.
            ValueError: no finite embeddings, or of another width than `fit` had.
        """
        if self.classifier_ is None:
            raise not_fitted(self)
        array = as_embeddings(embeddings)
        check_width(array, self.coef_.shape[1])
        return self.classes_[(array @ self.coef_.T + self.intercept_).argmax(1)]

    def fit_predict(
        self, embeddings: ArrayLike, task_labels: ArrayLike, group_labels: ArrayLike
    ) -> Shaped[np.ndarray, "n"]:
        """`fit`, then `predict` of the same embeddings."""
        return self.fit(embeddings, task_labels, group_labels).predict(embeddings)

    def _as_scikit_learn(self, hidden: Float[np.ndarray, "n width"]) -> tuple[StandardScaler, LogisticRegression]:
        from sklearn.linear_model import LogisticRegression  # here, because the import takes seconds
        from sklearn.preprocessing import StandardScaler

        scaler, layer = StandardScaler().fit(hidden), LogisticRegression(C=self.C)
        rows, intercepts = self.coef_ * scaler.scale_, self.intercept_ + self.coef_ @ scaler.mean_
        if len(self.classes_) == 2:  # scikit-learn has one row of weights for two classes
            rows, intercepts = rows[1:] - rows[:1], intercepts[1:] - intercepts[:1]
        layer.coef_, layer.intercept_ = rows, intercepts
        layer.classes_, layer.n_features_in_ = np.arange(len(self.classes_)), hidden.shape[1]
        return scaler, layer
