"""Letters, a classifier, and any explainer: `Benchmark`, with bex's arguments."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from ....datasets.glyphs import VALIDATION, draw_glyphs
from ...counterfactuals.evaluation import Shown, evaluate
from ...counterfactuals.metrics import Verdicts, scores
from ...counterfactuals.subject import Subject, subject, trained
from ...networks import networks
from ...suite.training import Training
from .explainers import Answers, ExplainerBase, explainer_class
from .loggers import BasicLogger, MlflowLogger, default_path

NETWORK = "lenet"
TRAINING = Training(epochs=8, batch_size=100)
"""As in the suite `counterfactuals`."""
MakeLogger = Callable[[Mapping[str, object], Path], BasicLogger]


class Benchmark:
    """Runs explainers on the same inputs of one classifier. Data and classifier are made when first needed.

    Args:
        batch_size: inputs that an explainer gets at once.
        num_workers: has no effect: nothing is loaded.
        n_samples: how many inputs are explained.
        corr_level: how often a letter's font goes with its label in training: 0.95 or 0.5, or any other share.
        n_corr: how many fonts go with a label: 10 or 6, or any even number up to 22.
        seed: of the data, the classifier, and the explainers' draws.
        logger: a class as `BasicLogger` is; None for none.
        data_path: folder in which trained classifiers are kept, to be found again; none is kept if not given.
        download: has no effect: nothing is downloaded.
        classifier: of your own, from (n, 1, 24, 24) to two logits; one is trained if not given.
        device: where everything runs.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(
        self,
        batch_size: int = 12,
        num_workers: int = 2,
        n_samples: int = 100,
        corr_level: float = 0.95,
        n_corr: int = 10,
        seed: int = 0,
        logger: MakeLogger | None = MlflowLogger,
        data_path: str | Path | None = None,
        download: bool = True,
        *,
        classifier: nn.Module | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        for name, value in (("batch_size", batch_size), ("n_samples", n_samples)):
            if value < 1:
                raise ValueError(f"{name} is {value}, expected 1 or more")
        self.batch_size = batch_size
        self.n_samples = n_samples
        self.corr_level = corr_level
        self.n_corr = n_corr
        self.seed = seed
        self.logger = logger
        self.device = torch.device(device)
        self._folder = None if data_path is None else Path(data_path)
        self._given = classifier
        self._rows: list[dict[str, object]] = []

    @cached_property
    def subject(self) -> Subject:
        """What is explained."""
        validation = max(VALIDATION, self.n_samples)
        glyphs = draw_glyphs(self.seed, self.corr_level, self.n_corr, validation=validation).to(self.device)
        if self._given is None:
            classifier = trained(glyphs, networks.resolve(NETWORK), TRAINING, self._folder)
        else:
            classifier = self._given.to(self.device)
        return subject(glyphs, classifier, self.n_samples)

    def run(
        self,
        explainer: str | type[ExplainerBase],
        output_path: str | Path | None = None,
        device: str | torch.device | None = None,
        **parameters: object,
    ) -> dict[str, float]:
        """Evaluates an explainer, logs it, and remembers it for `summarize`.

        Args:
            explainer: `dice`, `dive`, `gs`, `is`, `lcf`, `stylex`, `xgem`, `dummy`, or a class of your own.
            output_path: the folder of a logger that writes to one.
            device: where this and later runs are made; as before if not given.
            parameters: the explainer's own.

        Returns:
            Its metrics, over all explanations.

        Raises:
            UnknownName: no explainer is called so.
            ValueError: it returned something else than explanations.
        """
        if device is not None and torch.device(device) != self.device:
            self.device = torch.device(device)
            self.__dict__.pop("subject", None)
        made = explainer_class(explainer)(**parameters)
        attributes = self.attributes(explainer, **parameters)
        path = Path(output_path or default_path(attributes))
        logger = None if self.logger is None else self.logger(attributes, path)
        subject = self.subject

        def watch(verdicts: Verdicts, shown: Shown) -> None:
            if logger is not None:
                logger.accumulate(scores(verdicts), shown)

        verdicts = evaluate(Answers(made, self.seed), subject, self.batch_size, self.seed, watch)
        results = {**scores(verdicts), "accuracy": subject.accuracy, "blend": subject.glyphs.blend()}
        self._rows.append({**attributes, **results})
        if logger is not None:
            logger.results = results
            logger.notes = {"digest": subject.glyphs.digest(), "inputs": str(len(subject.logits))}
            logger.log()
        return results

    def runs(self, exp_list: Sequence[Mapping[str, object]], **parameters: object) -> list[dict[str, float]]:
        """`run` for each: `[{"explainer": "dive", "lr": 0.1}, {"explainer": "dice"}]`; `parameters` go to all."""
        return [self.run(**{**parameters, **entry}) for entry in exp_list]  # pyrefly: ignore

    def summarize(self) -> pd.DataFrame:
        """One row for each run so far: configuration, then metrics; shares of nothing are NaN."""
        return pd.DataFrame(self._rows)

    def attributes(self, explainer: str | type[ExplainerBase], **parameters: object) -> dict[str, object]:
        """The resolved configuration of a run, known before it."""
        kind = explainer_class(explainer)
        defaults = {name: parameter.default for name, parameter in inspect.signature(kind).parameters.items()
                    if parameter.default is not inspect.Parameter.empty}  # fmt: skip
        changed = {name: value for name, value in parameters.items() if defaults.get(name) != value}
        inner = ",".join(f"{name}={changed[name]}" for name in sorted(changed))
        return {
            "explainer": vars(kind).get("name", kind.__name__) + (f"[{inner}]" if inner else ""),
            "parameters": json.dumps({**defaults, **parameters}, sort_keys=True, default=str),
            "corr_level": self.corr_level,
            "n_corr": self.n_corr,
            "seed": self.seed,
            "n_samples": self.n_samples,
            "batch_size": self.batch_size,
            "classifier": self._classifier_name,
        }

    @cached_property
    def _classifier_name(self) -> str:
        if self._given is None:
            return f"{NETWORK} {TRAINING.model_dump_json()}"
        sha = hashlib.sha256()
        for name, tensor in self._given.state_dict().items():
            sha.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
        return f"{type(self._given).__name__} {sha.hexdigest()[:16]}"
