"""From networks and a draw of a dataset to what metrics look at; who trained the networks makes no difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...datasets.base import Batch, ShortcutDataset, Split
from ...methods.explainers.base import Explainer, ForwardFunction, explainers
from ...methods.network import Net
from ..engine.stacking import CHUNK, NUMBERS_IN_A_PASS
from .evaluated import Evaluated, Lazy, splits

EXPLAINERS = ("input_gradient", "input_gradient_predicted", "integrated_gradients")
EXPLAINED_INPUTS = 100
"""Test inputs whose saliency is measured: the first ones of the `random` environment (RULES.md)."""
RANKED_INPUTS, UNTRAINED_INPUTS = 50, 10
"""How many where explainers are ranked, and how many of these are attributed with other weights too."""


def evaluated(
    networks: Sequence[ForwardFunction],
    draw: ShortcutDataset,
    device: torch.device,
    dtype: torch.dtype,
    *,
    explained: Batch | None = None,
    ranked: Sequence[Explainer] = (),
    untrained: Callable[[], ForwardFunction] | None = None,
    names: Sequence[str] | None = None,
    batch_size: int | None = None,
    saliency: bool = True,
    passed: Callable[[int], object] = lambda inputs: None,
) -> Evaluated:
    """Networks on a draw, as metrics see them; all is computed when a metric asks for it.

    Args:
        networks: of one architecture, in evaluation mode.
        explained: the inputs to attribute; `explained_inputs` if not given.
        ranked: explainers measured beside the protocol's.
        untrained: makes a network of other, random weights, with which explainers are compared.
        names: the splits to look at; all of them if not given.
        batch_size: inputs in a forward pass; by their size if not given.
        saliency: whether attributions are measured.
        passed: is called after every forward pass of a split with the number of its inputs.
    """
    known = splits(draw, names)
    explained = explained or explained_inputs(draw)
    most = batch_size or max(1, min(CHUNK, NUMBERS_IN_A_PASS // max(1, explained.inputs[0].numel())))

    def logits(name: str) -> Float[Tensor, "strengths n classes"]:
        return _logits(networks, known[name], device, dtype, most, passed)

    predicted = Evaluated(draw, Lazy(list(known), logits), known, networks)
    if (with_value := draw.with_value) is not None and names is None:

        def valued(value: str) -> Float[Tensor, "strengths n classes"]:
            return _logits(networks, with_value(int(value)), device, dtype, most, passed)

        values = range(int(draw.class_shortcuts.max()) + 1)
        predicted = replace(predicted, valued=Lazy([str(value) for value in values], valued))
    if not saliency:
        return predicted
    attributing = _Attributing(networks, explained.inputs.to(device, dtype), ranked, untrained)
    return replace(
        predicted,
        explained=explained,
        attributions=Lazy(list(attributing.reported), attributing.trained),
        untrained=Lazy(list(attributing.reported) if untrained else [], attributing.untrained),
    )


def explained_inputs(draw: ShortcutDataset, ranked: bool = False) -> Batch:
    """The first inputs of `random`; where a dataset has no `random`, of `aligned`, or of the photos as they are."""
    name = next(name for name in ("random", "aligned", "observed", *draw.environments) if name in draw.environments)
    return draw.test(name).batch(slice(0, RANKED_INPUTS if ranked else EXPLAINED_INPUTS))


class _Attributing:
    """Attributes the predicted classes of the explained inputs, by the networks and by an untrained network.

    Attributes:
        reported: the protocol's explainers and those that are ranked, by id, without those that these networks give
            nothing to look at.
    """

    def __init__(
        self,
        networks: Sequence[ForwardFunction],
        inputs: Float[Tensor, "inputs *features"],
        ranked: Sequence[Explainer],
        other: Callable[[], ForwardFunction] | None,
    ) -> None:
        self.networks, self.inputs, self.other = networks, inputs, other
        size = max(1, NUMBERS_IN_A_PASS // max(1, inputs[0].numel()))
        with torch.no_grad():
            self.predicted = [
                torch.cat([network(chunk).argmax(-1) for chunk in inputs.split(size)]) for network in networks
            ]
        every = (*map(explainers.resolve, EXPLAINERS), *ranked)
        self.reported = {one.id: one for one in every if can_explain(one, networks[0])}

    def trained(self, id: str) -> Float[Tensor, "strengths inputs *features"]:
        """By the explainer of this id, on the CPU."""
        explainer, pairs = self._explainer(id), zip(self.networks, self.predicted, strict=True)
        return torch.stack([explainer.attribute(net, self.inputs, predicted).cpu() for net, predicted in pairs])

    def untrained(self, id: str) -> Float[Tensor, "strengths few *features"]:
        """The same of the first inputs, by the other network."""
        if self.other is None:
            raise LookupError("there is no other network to compare with")
        explainer, few, network = self._explainer(id), slice(0, UNTRAINED_INPUTS), self.other()
        return torch.stack(
            [explainer.attribute(network, self.inputs[few], predicted[few]).cpu() for predicted in self.predicted]
        )

    def _explainer(self, id: str) -> Explainer:
        return self.reported.get(id) or explainers.resolve(id)


def can_explain(explainer: Explainer, network: ForwardFunction) -> bool:
    """Whether the explainer has something to look at in this network, which may be a function without layers."""
    module = network.module if isinstance(network, Net) else network
    if isinstance(module, nn.Module):
        return not explainer.obstacle(module)
    return not (explainer.needs_layers or explainer.needs_convolutions)


@torch.no_grad()
def _logits(
    networks: Sequence[ForwardFunction],
    split: Split,
    device: torch.device,
    dtype: torch.dtype,
    batch_size: int,
    passed: Callable[[int], object],
) -> Float[Tensor, "strengths n classes"]:
    of_chunks = []
    for rows in torch.arange(len(split)).split(batch_size):
        inputs = split.batch(rows).inputs.to(device, dtype)
        of_chunks.append(torch.stack([network(inputs) for network in networks]))
        passed(len(rows))
    return torch.cat(of_chunks, 1)
