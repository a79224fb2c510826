"""Input gradients that stay differentiable."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.func import grad

from ..datasets.base import Batch
from .network import Net
from .nudge import nudged

Target = Callable[[Float[Tensor, "batch classes"]], Float[Tensor, "batch"]]
"""From logits to the number for each input whose gradient is taken."""


def input_gradient(
    net: Callable[[Tensor], Tensor], inputs: Float[Tensor, "batch *features"], target: Target
) -> tuple[Float[Tensor, "batch *features"], Float[Tensor, "batch classes"]]:
    """d target(net(x)_n) / d x_n for every input n, and the logits of the same forward pass.

    Holds for networks that treat the inputs of a batch independently (no BatchNorm in training mode).
    """

    def summed(inputs: Tensor) -> tuple[Tensor, Tensor]:
        logits = net(inputs)
        return target(logits).sum(), logits

    try:
        return grad(summed, has_aux=True)(inputs)
    except RuntimeError as error:
        if "Autograd not support dtype" not in str(error):
            raise
        raise ValueError(
            f"the logits have no input gradient ({error}): the network makes whole numbers of its inputs, as an "
            "embedding's indices are. Take a network that computes with them, or a mitigation without input gradients"
        ) from error


def input_gradient_at(
    net: Net,
    inputs: Float[Tensor, "batch *features"],
    target: Target,
    positions: Int[Tensor, "positions"],
    reached: Int[Tensor, "outputs"] | None = None,
) -> tuple[Float[Tensor, "batch positions"], Float[Tensor, "batch classes"]]:
    """`input_gradient` at the given positions of the flattened input, and the logits.

    Args:
        reached: as `nudge.nudged` takes it.
    """
    zeros = torch.zeros(inputs.shape[0], len(positions), dtype=inputs.dtype, device=inputs.device)
    return input_gradient(lambda nudge: nudged(net, inputs, nudge, positions, reached), zeros, target)


def masked_input_gradient(
    net: Net, batch: Batch, target: Target
) -> tuple[Float[Tensor, "batch positions"], Float[Tensor, "batch classes"]]:
    """A_n * d target / d x_n, flattened, and the logits; leaves out positions that no mask touches (always 0)."""
    if batch.touched is None:
        gradient, logits = input_gradient(net, batch.inputs, target)
        gradient = gradient.flatten(1)
    else:
        gradient, logits = input_gradient_at(net, batch.inputs, target, batch.touched, batch.reached)
    return gradient * at_touched(batch.masks.expand_as(batch.inputs), batch), logits


def masked_input_gradients(
    net: Net,
    batch: Batch,
    points: Float[Tensor, "batch samples *features"],
    target: Callable[[Float[Tensor, "n classes"], Batch], Float[Tensor, "n"]],
) -> Float[Tensor, "batch samples positions"]:
    """`masked_input_gradient` at several points for each input.

    Args:
        target: from logits and the batch of all points to the number for each point whose gradient is taken.
    """
    samples = points.shape[1]
    labels, masks, shortcuts = (
        field.repeat_interleave(samples, 0) for field in (batch.labels, batch.masks, batch.shortcuts)
    )
    all_points = Batch(points.flatten(0, 1), labels, masks, shortcuts, touched=batch.touched, reached=batch.reached)
    gradient, _ = masked_input_gradient(net, all_points, lambda logits: target(logits, all_points))
    return gradient.unflatten(0, (-1, samples))


def at_touched(values: Shaped[Tensor, "batch *features"], batch: Batch) -> Shaped[Tensor, "batch positions"]:
    """The values at the positions that `masked_input_gradient` returns, flattened."""
    flat = values.flatten(1)
    return flat if batch.touched is None else flat[:, batch.touched]


def reversed_gradient(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The values unchanged, the sign of their gradient reversed (Ganin et al., JMLR 2016): descent becomes ascent."""
    return 2 * values.detach() - values


def predicted_log_odds(logits: Float[Tensor, "batch classes"]) -> Float[Tensor, "batch"]:
    """log(p / (1 - p)) of the predicted class: z_max - logsumexp of the remaining logits.

    d log(p / (1 - p)) = dp / (p (1 - p)): the direction of dp, without the factor (1 - p) of dp, which underflows.
    """
    largest, rest = logits.topk(logits.shape[-1]).values.split((1, logits.shape[-1] - 1), -1)
    return largest[..., 0] - rest.logsumexp(-1)
