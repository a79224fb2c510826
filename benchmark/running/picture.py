"""The picture of a trained stack: where its networks look."""

from __future__ import annotations

import torch
from torch import Tensor

from ...methods.explainers.base import Explainer, explainers
from ...methods.network import Net
from ..engine.trainer import Fitted, Trainer
from ..figures.panel import saliency_panel
from ..suite.stack import MitigationStack

PICTURED_INPUTS = 5


def picture(stack: MitigationStack, trainer: Trainer, fitted: Fitted) -> bytes:
    """A png: inputs, masks, and input gradients at the least, the middle and the greatest strength of the first seed.

    Where a suite ranks explainers, every explainer's attribution at the middle strength instead.
    """
    draw = trainer.draws[0]
    name = next(name for name in ("random", "aligned", "observed") if name in draw.environments)
    batch = draw.test(name).batch(slice(0, PICTURED_INPUTS))
    inputs = batch.inputs.to(trainer.device)
    last = len(stack.strengths) - 1

    def attributed(explainer: Explainer, column: int) -> Tensor:
        net = Net(trainer.modules[0], {name: value[0, column] for name, value in fitted.parameters.items()})
        return torch.nan_to_num(explainer.attribute(net, inputs, net(inputs).argmax(-1).detach()))

    setting = f"{stack.dataset.id}, {stack.network.id}, {stack.label}"
    if stack.explainers:
        able = [explainer for explainer in stack.explainers if not explainer.obstacle(trainer.modules[0])]
        maps = {explainer.id.replace("_", "\n"): attributed(explainer, last // 2) for explainer in able}
        at = f", strength {stack.strengths[last // 2]:.3g}" if stack.mitigation.has_strength else ""
        return saliency_panel(inputs, batch.masks, maps, f"{setting}{at}: |attribution| of the predicted class")
    gradient = explainers.resolve("input_gradient")
    maps = {f"strength {stack.strengths[i]:.3g}": attributed(gradient, i) for i in sorted({0, last // 2, last})}
    return saliency_panel(inputs, batch.masks, maps, f"{setting}: |input gradient|")
