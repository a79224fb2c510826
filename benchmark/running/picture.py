"""The picture of a trained stack: where its networks look, beside ERM's network of the same sweep and seed."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...methods.explainers.base import Explainer, explainers
from ...methods.network import Net
from ..engine.device import float32_products
from ..engine.trainer import Fitted, Trainer
from ..figures.palette import BASELINE
from ..figures.panel import Look, saliency_panel
from ..store.record import Record
from ..store.records import RecordStore
from ..store.whole import write_whole
from ..suite.stack import MitigationStack

PICTURED_INPUTS = 5


@dataclass(frozen=True)
class Panel:
    """A saliency panel before it is drawn: tensors on the CPU, a few kilobytes.

    Attributes:
        mitigation: empty for a panel of explainers, which has no ERM column.
        seed: the draw of the inputs; networks are compared on the same draw.
        looks: by the heading of their column.
        erm: ERM's look, where the panel should have its column and has it.
    """

    mitigation: str
    seed: int
    title: str
    inputs: Float[Tensor, "n *features"]
    masks: Bool[Tensor, "n *#features"]
    labels: Int[Tensor, "n"]
    looks: Mapping[str, Look]
    erm: Look | None = None

    def png(self) -> bytes:
        looks = {"ERM": self.erm, **self.looks} if self.erm is not None else self.looks
        return saliency_panel(self.inputs, self.masks, self.labels, looks, self.title)


class Panels:
    """Draws the panels of a session into a store, each with ERM's column as soon as ERM of its sweep is trained.

    ERM's look stays in the store, for a session that goes on with the other mitigations.
    """

    def __init__(self, store: RecordStore) -> None:
        self.store = store
        self._waiting: dict[str, list[tuple[Record, Panel]]] = {}

    def keep(self, record: Record, panel: Panel | bytes) -> None:
        """Keeps the picture of a record's mitigation.

        Raises:
            OSError: the folder cannot be written, or the disk is full.
        """
        if isinstance(panel, bytes):
            self.store.put_picture(record, panel)
            return
        path = self._path(record, panel)
        if panel.mitigation == BASELINE and (looks := list(panel.looks.values())):
            packed = io.BytesIO()
            torch.save(tuple(looks[0]), packed)
            write_whole(path, packed.getvalue())
            self.store.put_picture(record, panel.png())
            for other, waiting in self._waiting.pop(record.sweep_key, []):
                self.keep(other, waiting)
            return
        erm = _read(path) if panel.mitigation else None
        self.store.put_picture(record, replace(panel, erm=erm).png())
        if panel.mitigation and erm is None:
            self._waiting.setdefault(record.sweep_key, []).append((record, panel))

    def _path(self, record: Record, panel: Panel) -> Path:
        return self.store.pictures / record.sweep_key / f"erm-{panel.seed}.pt"


@float32_products()
def picture(stack: MitigationStack, trainer: Trainer, fitted: Fitted) -> Panel:
    """Input gradients at the least, the middle and the greatest strength of the first seed.

    Where a suite ranks explainers, every explainer's attribution at the middle strength instead.
    """
    draw = trainer.evaluated_draws[0]
    name = next(name for name in ("random", "aligned", "observed") if name in draw.environments)
    batch = draw.test(name).batch(slice(0, PICTURED_INPUTS))
    inputs = batch.inputs.to(trainer.device)
    last = len(stack.strengths) - 1

    def look(explainer: Explainer, column: int) -> Look:
        net = Net(trainer.modules[0], {name: value[0, column] for name, value in fitted.parameters.items()})
        predicted = net(inputs).argmax(-1).detach()
        return Look(torch.nan_to_num(explainer.attribute(net, inputs, predicted)).detach().cpu(), predicted.cpu())

    setting = f"{stack.dataset.id}, {stack.network.id}, {stack.label}"
    if stack.explainers:
        able = [explainer for explainer in stack.explainers if not explainer.obstacle(trainer.modules[0])]
        looks = {explainer.id.replace("_", "\n"): look(explainer, last // 2) for explainer in able}
        at = f", strength {stack.strengths[last // 2]:.3g}" if stack.mitigation.has_strength else ""
        title = f"{setting}{at}: |attribution| of the predicted class"
    else:
        gradient = explainers.resolve("input_gradient")
        places = sorted({0, last // 2, last}) if stack.mitigation.has_strength else [0]
        looks = {_heading(stack, place): look(gradient, place) for place in places}
        title = f"{setting}: |input gradient|"
    mitigation = stack.label if not stack.explainers else ""  # other attributions are no column beside gradients
    return Panel(mitigation, draw.seed, title, batch.inputs.cpu(), batch.masks.cpu(), batch.labels.cpu(), looks)


def _heading(stack: MitigationStack, place: int) -> str:
    if stack.mitigation.has_strength:
        return f"strength {stack.strengths[place]:.3g}"
    return "ERM" if stack.label == BASELINE else stack.label.replace("_", "\n")


def _read(path: Path) -> Look | None:
    """ERM's look; None where there is none that reads."""
    try:
        return Look(*torch.load(path, weights_only=True))
    except (OSError, RuntimeError, EOFError, TypeError, ValueError):
        return None
