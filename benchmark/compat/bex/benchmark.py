"""Letters, a classifier, and any explainer: `Benchmark`, with bex's arguments."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from ....datasets.glyphs import VALIDATION, draw_glyphs
from ...counterfactuals.evaluation import Shown, evaluate, seeded
from ...counterfactuals.metrics import Verdicts, scores
from ...counterfactuals.subject import Subject, subject, trained
from ...networks import networks
from ...suite.training import Training
from . import arguments
from .explainers import Answers, ExplainerBase, explainer_class
from .loggers import BasicLogger, MlflowLogger
from .names import NAMES, with_bex_names

NETWORK = "lenet"
TRAINING = Training(epochs=8, batch_size=100)
"""As in the suite `counterfactuals`."""
MakeLogger = Callable[[Mapping[str, object], str | Path | None], BasicLogger]


class Benchmark:
    """Runs explainers on the same inputs of one classifier. Data and classifier are made when first needed.

    Args:
        batch_size: inputs that an explainer gets at once.
        num_workers: has no effect: nothing is loaded.
        n_samples: how many inputs are explained.
        corr_level: how often a letter's font goes with its label in training: 0.95 or 0.5, or any other share.
        n_corr: how many fonts go with a label: 10 or 6, or any even number up to 22.
        seed: of the data, the classifier, and the explainers' draws, by whichever of torch's, NumPy's and Python's
            generators.
        logger: a class as `BasicLogger` is; None for none.
        data_path: folder in which trained classifiers are kept, to be found again; none is kept if not given.
        download: has no effect: nothing is downloaded.
        classifier: of your own, from (n, 1, 24, 24) to two logits; one is trained if not given.
        device: where everything runs; "" for CUDA where there is some, else the CPU.

    Raises:
        ValueError: an argument out of its range, or of another type.
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
        self.batch_size = arguments.integer("batch_size", batch_size, 1)
        self.n_samples = arguments.integer("n_samples", n_samples, 1)
        self.corr_level = arguments.correlation(corr_level)
        self.n_corr = arguments.breadth(n_corr)
        self.seed = arguments.integer("seed", seed, 0)
        if logger is not None and not callable(logger):
            raise ValueError(f"logger is {logger!r}, expected a class as BasicLogger is, or None")
        self.logger = logger
        self.device = arguments.device(device)
        self._folder = None if data_path is None else Path(data_path)
        if classifier is not None:
            arguments.check_classifier(classifier)
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
            output_path: the folder that the logger writes to; also `MlflowLogger`, the default, writes to a named one.
            device: where this and later runs are made, "" for CUDA where there is some; as before if not given.
            parameters: the explainer's own.

        Returns:
            Its metrics, over all explanations, by our names; `summarize` has bex's, too.

        Raises:
            UnknownName: no explainer is called so.
            ValueError: an explainer that is none, or that returned something else than explanations; no such device; a
                file in the logger's way.
        """
        if device is not None and arguments.device(device) != self.device:
            self.device = arguments.device(device)
            self.__dict__.pop("subject", None)
        with seeded(self.seed):
            made = explainer_class(explainer)(**parameters)
        attributes = self.attributes(explainer, **parameters)
        logger = None if self.logger is None else self.logger(attributes, output_path)
        subject = self.subject

        def watch(verdicts: Verdicts, shown: Shown) -> None:
            if logger is not None:
                logger.accumulate(with_bex_names(scores(verdicts)), shown)

        verdicts = evaluate(Answers(made, self.seed), subject, self.batch_size, self.seed, watch)
        results = {**scores(verdicts), "accuracy": subject.accuracy, "blend": subject.glyphs.blend()}
        named = with_bex_names(results)
        first = {"explainer": attributes["explainer"], **{theirs: named[theirs] for theirs in NAMES}}
        self._rows.append({**first, **attributes, **results})
        if logger is not None:
            logger.results = results
            logger.notes = {"digest": subject.glyphs.digest(), "inputs": str(len(subject.logits))}
            logger.log()
        return results

    def runs(self, exp_list: Iterable[Mapping[str, object]], **parameters: object) -> list[dict[str, float]]:
        """`run` for each: `[{"explainer": "dive", "lr": 0.1}, {"explainer": "dice"}]`; `parameters` go to all.

        Raises:
            ValueError: an entry that names no explainer.
        """
        entries = [exp_list] if isinstance(exp_list, str | Mapping) else list(exp_list)
        for entry in entries:
            if not isinstance(entry, Mapping) or "explainer" not in entry or isinstance(exp_list, Mapping):
                raise ValueError(
                    f'exp_list has {entry!r}, expected a list such as [{{"explainer": "dive", "lr": 0.1}}]'
                )
        return [self.run(**{**parameters, **entry}) for entry in entries]  # pyrefly: ignore

    def summarize(self) -> pd.DataFrame:
        """A row for each run so far: explainer, bex's columns, configuration, our metrics (NaN: a share of nothing)."""
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
