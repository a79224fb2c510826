"""How an executor runs a stack of explanations: draw letters, train a classifier, explain it, evaluate."""

from __future__ import annotations

import io
import math
import time
import traceback
from functools import lru_cache

from torch import Tensor

from ....datasets.glyphs import Glyphs, GlyphsRecipe
from ...counterfactuals.evaluation import Shown, evaluate
from ...counterfactuals.metrics import Verdicts, scores
from ...counterfactuals.picture import picture
from ...counterfactuals.subject import Subject, subject, trained
from ...networks import NetworkRecipe
from ...store.record import Record
from ...suite.explanation import ExplanationStack
from ...suite.training import Training
from ..course import Progress
from .base import Result, Settings, Task, check_digest, run_kind


@run_kind.register(ExplanationStack)
def explained(stack: ExplanationStack, task: Task, settings: Settings, progress: Progress) -> Result:
    """The records of a stack of explanations, and the picture of its first seed."""
    records: list[Record] = []
    models: dict[str, dict[str, Tensor]] = {}
    panel = None
    for seed in stack.seeds:
        digest = _letters(stack.dataset, seed, settings.device).digest()
        check_digest(stack.dataset.id, seed, digest, task.digests.get(stack.dataset_key(seed)))
        try:
            record, model, batches = _explained(stack, seed, digest, settings)
        except Exception:
            records.append(Record.for_run(stack, 0.0, seed, "failed", error=traceback.format_exc(), digest=digest))
        else:
            records.append(record)
            models |= {record.run_key: model} if settings.save_models else {}
            if task.panel and seed == stack.seeds[0]:
                panel = _png(batches, f"{stack.label}, {stack.dataset.id}, {stack.network.id}, seed {seed}")
        progress(1)
    return Result(records, models, panel)


def _explained(
    stack: ExplanationStack, seed: int, digest: str, settings: Settings
) -> tuple[Record, dict[str, Tensor], list[Shown]]:
    """The record of a run, the classifier's state dict, and the batches for the picture."""
    subject = _subject(stack.dataset, stack.network, stack.training, seed, settings.device)
    batches: list[Shown] = []

    def keep(verdicts: Verdicts, shown: Shown) -> None:
        batches.append(shown)

    begin = time.perf_counter()
    verdicts = evaluate(stack.explainer, subject, stack.batch_size, seed, keep)
    seconds = time.perf_counter() - begin
    measured = {**scores(verdicts), "accuracy": subject.accuracy, "blend": subject.glyphs.blend(), "seconds": seconds}
    metrics = {name: value for name, value in measured.items() if not math.isnan(value)}  # a share of nothing
    record = Record.for_run(stack, 0.0, seed, "finished", metrics=metrics, digest=digest)
    return record, {name: value.cpu().clone() for name, value in subject.classifier.state_dict().items()}, batches


@lru_cache(maxsize=8)
def _letters(dataset: GlyphsRecipe, seed: int, device: str) -> Glyphs:
    return dataset.make(seed).to(device)


@lru_cache(maxsize=8)
def _subject(dataset: GlyphsRecipe, network: NetworkRecipe, training: Training, seed: int, device: str) -> Subject:
    """A trained classifier and the inputs to explain; the explainers of a sweep follow each other and share them."""
    glyphs = _letters(dataset, seed, device)
    return subject(glyphs, trained(glyphs, network, training), dataset.inputs)


def _png(batches: list[Shown], title: str) -> bytes:
    packed = io.BytesIO()
    picture(batches, title).savefig(packed, format="png", dpi=110)
    return packed.getvalue()
