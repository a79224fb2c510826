"""RRR for people with their own training loop: a loss function that avoids the usual mistakes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..datasets.as_mask import as_mask
from ..datasets.base import Batch
from .base import cross_entropy
from .independence import Model, check_independence, modules_of, warn_of_no_gradient
from .loss_inputs import (
    check_arguments,
    check_dense,
    check_device,
    check_finite_gradient,
    check_finite_logits,
    check_not_inference,
    types_named,
    warn_of_bytes,
    writes_into_inputs,
)
from .targets import TARGETS, TargetName

MATHEMATICAL = "run the model's forward pass under `torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)`"
NO_DOUBLE_BACKWARD = {
    "ScaledDotProductFlash": MATHEMATICAL,
    "ScaledDotProductEfficient": MATHEMATICAL,
    "ScaledDotProductCudnn": MATHEMATICAL,
    "CheckpointFunctionBackward": "pass use_reentrant=False to `torch.utils.checkpoint.checkpoint`",
    "HardsigmoidBackward": "write `torch.nn.functional.relu6(x + 3) / 6` for hardsigmoid",
}
"""Autograd nodes without a derivative of their backward pass, by the first letters of their names; and the way out."""


def rrr_loss(
    model: Model,
    inputs: Float[Tensor, "batch *features"],
    labels: Int[Tensor, "batch"],
    mask: Shaped[Tensor, "batch *#features"],
    strength: float,
    *,
    target: TargetName = "log_prob_sum",
) -> Float[Tensor, ""]:
    """mean_n -log p_y + strength * mean_n sum_d (mask_nd * d/dx_nd target(x_n))^2; see `mitigations.rrr`.

    Call `.backward()` on the result. The inputs, the model's mode and the model's gradients are left unchanged; inputs
    that require gradients, such as those of a learned augmentation, get the gradient of the whole loss. At
    strength 0 or with an empty mask the result is the cross-entropy bit for bit, at no further cost: NaN where the
    model gives NaN, which is refused with a penalty.

    BatchNorm in training mode couples the inputs of a batch, so that the gradient of a sum over the batch is not each
    input's own gradient. The penalty then takes a second forward pass, with running statistics, and a warning says so.

    Args:
        model: a module, or a function; maps inputs to logits.
        labels: class indices of any integer type, or one-hot (batch, classes).
        mask: True, or 1, where an input must not matter.
        strength: at least 0.

    Raises:
        ValueError: a mask that is not binary or does not fit the inputs; labels that are out of range, or neither
            indices nor one-hot; inputs that are none, integers, or not finite; tensors that are sparse, nested, or on
            two devices; an output that is not (batch, classes) of floats; a single logit; probabilities; logits or an
            input gradient of a penalised loss that are not finite; logits that depend on other inputs of the batch,
            such as BatchNorm's without running statistics; inputs of another type than the model's; an unknown target;
            or a strength that is negative, infinite or NaN.
        RuntimeError: gradients are switched off, or the model uses attention without a double backward or a re-entrant
            checkpoint.
    """
    check_arguments(model, inputs, strength, target)
    strength = strength if isinstance(strength, Tensor) else float(strength)
    model = getattr(model, "_orig_mod", model)  # a compiled program is differentiated once
    check_dense(labels=labels, mask=mask)
    finite = torch.isfinite(inputs.detach())[:, None].flatten(1).all(1)
    if not bool(finite.all()):
        raise ValueError(f"input {int((~finite).nonzero()[0])} of the batch is not finite: leave it out, or repair it")
    mask = as_mask(mask, inputs.shape)
    check_device(inputs.device, "inputs", mask=mask)
    if strength == 0 or not bool(mask.any()):
        logits = _logits(model, inputs)
        return cross_entropy(logits, as_indices(labels, logits))
    _check_gradients_are_on()
    check_not_inference(inputs=inputs, labels=labels, mask=mask)
    warn_of_bytes(inputs)
    leaf = inputs if inputs.requires_grad else inputs.detach().requires_grad_()
    version = leaf._version
    logits = _logits(model, leaf)
    if leaf._version > version:  # autograd itself refuses it for leaves alone
        raise ValueError(writes_into_inputs(model))
    labels = as_indices(labels, logits)
    penalised = _penalised(model, leaf, logits)
    for outputs in (logits, penalised):
        check_finite_logits(model, outputs)
    check_independence(model, leaf, penalised)
    gradient = _input_gradient(leaf, penalised, labels, mask, target)
    check_finite_gradient(model, gradient)
    warn_of_no_gradient(model, gradient.detach())
    return cross_entropy(logits, labels) + strength * _penalty(gradient, mask)


def _logits(model: Model, inputs: Float[Tensor, "batch *features"]) -> Float[Tensor, "batch classes"]:
    with types_named(model, inputs):
        output = model(inputs)
    logits = as_logits(output, len(inputs))
    check_logits(logits)
    return logits


def rrr_penalty(
    model: Model,
    leaf: Float[Tensor, "batch *features"],
    logits: Float[Tensor, "batch classes"],
    labels: Int[Tensor, "batch"],
    mask: Bool[Tensor, "batch *#features"] | Float[Tensor, "batch *#features"],
    target: TargetName = "log_prob_sum",
) -> Float[Tensor, ""]:
    """mean_n sum_d (mask_nd * d/dx_nd target(x_n))^2, the second term of `rrr_loss` without its strength.

    Reads no tensor's values on the CPU, so a step on a GPU does not wait for the penalty.

    Args:
        leaf: the inputs, which require gradients.
        logits: the model's output for `leaf`.

    Raises:
        ValueError: BatchNorm that keeps no running statistics.
        RuntimeError: the logits do not depend on the inputs, or the model uses attention without a double backward.
    """
    gradient = _input_gradient(leaf, _penalised(model, leaf, logits), labels, mask, target)
    return _penalty(gradient, mask)


def _penalty(gradient: Float[Tensor, "batch *features"], mask: Tensor) -> Float[Tensor, ""]:
    return (gradient * mask).square()[:, None].flatten(1).sum(1).mean()


def _penalised(model: Model, leaf: Tensor, logits: Tensor) -> Float[Tensor, "batch classes"]:
    """The logits by the running statistics of BatchNorm, which do not couple the inputs."""
    check_statistics(model)
    penalised = logits
    if any(isinstance(module, _BatchNorm) and module.training for module in modules_of(model)):
        with _running_statistics(model):
            penalised = model(leaf)
    _check_double_backward(penalised)
    return penalised


def _input_gradient(
    leaf: Tensor, logits: Tensor, labels: Tensor, mask: Tensor, target: TargetName
) -> Float[Tensor, "batch *features"]:
    per_input = TARGETS[target](logits, Batch(leaf, labels, mask, labels, _signs(target, logits)))
    gradient = None
    if per_input.requires_grad:
        (gradient,) = torch.autograd.grad(per_input.sum(), leaf, create_graph=True, allow_unused=True)
    if gradient is None:
        raise RuntimeError("the logits have no input gradient: look for a detach(), an argmax or a cast in the model")
    return gradient


def _signs(target: TargetName, logits: Tensor) -> dict[str, Tensor]:
    if target != "random_projection":
        return {}
    return {"signs": torch.randint_like(logits, 0, 2) * 2 - 1}


def as_logits(output: object, n: int) -> Float[Tensor, "n classes"]:
    """The model's output for n inputs, if it is one tensor (n, classes).

    Raises:
        ValueError: it is not; names what it is.
    """
    if not isinstance(output, Tensor):
        raise ValueError(
            f"the model returns a {type(output).__name__}: wrap it in a module whose forward returns the logits alone, "
            "a tensor (batch, classes)"
        )
    if output.dim() != 2 or len(output) != n:
        raise ValueError(
            f"the model returns {tuple(output.shape)} for {n} inputs, expected (batch, classes): give one row of "
            "logits an input, e.g. output.mean((2, 3)) of logits for each pixel"
        )
    if output.layout != torch.strided:
        raise ValueError(f"the model returns logits of layout {output.layout}: give output.to_dense()")
    if not output.is_floating_point():
        raise ValueError(
            f"the model returns {output.dtype}, and logits are floats: look for a comparison, .long() or an FFT at its "
            "end; of complex numbers give output.real or output.abs()"
        )
    return output


def check_logits(logits: Float[Tensor, "batch classes"]) -> None:
    """Raises ValueError for a single logit, whose loss is always 0, and for probabilities in the place of logits."""
    if logits.shape[1] < 2:
        raise ValueError(
            f"the model returns {tuple(logits.shape)}, the softmax of a single logit is always 1 and the loss 0: make "
            "(0, z) of a single logit z, torch.cat((torch.zeros_like(z), z), 1)"
        )
    rows = logits.detach().double()
    tolerance = 1e-4 if logits.dtype in (torch.float32, torch.float64) else 2e-2
    if bool(((rows >= 0) & (rows <= 1)).all() & ((rows.sum(1) - 1).abs() < tolerance).all()):
        raise ValueError(
            "the model gives probabilities, rows in [0, 1] that sum to 1, and the loss takes another softmax: remove "
            "the softmax at the model's end, or pass log_softmax in its place"
        )


def as_indices(
    labels: Shaped[Tensor, "batch *classes"], logits: Float[Tensor, "batch classes"]
) -> Int[Tensor, "batch"]:
    """The labels as class indices.

    Raises:
        ValueError: labels that are neither indices of the logits nor one-hot.
    """
    if not isinstance(labels, Tensor):
        raise ValueError(f"labels are a {type(labels).__name__}: pass a tensor, e.g. torch.as_tensor(labels)")
    check_device(logits.device, "logits", labels=labels)
    if labels.is_complex():
        raise ValueError(f"labels are {labels.dtype}: class indices are integers, e.g. labels.real.long()")
    if labels.shape == logits.shape:
        if not bool(((labels == 0) | (labels == 1)).all() & (labels.sum(1) == 1).all()):
            raise ValueError("labels (batch, classes) are not one-hot: pass class indices (batch,)")
        return labels.long().argmax(1)  # no argmax of bool and of unsigned integers
    if labels.shape != logits.shape[:1]:
        raise ValueError(
            f"labels have shape {tuple(labels.shape)}, expected ({len(logits)},): one class index an input"
        )
    if labels.is_floating_point():
        raise ValueError(f"labels are {labels.dtype}: class indices are integers, e.g. labels.long()")
    labels = labels.long()
    check_labels(labels, logits)
    return labels


def check_statistics(model: Model) -> None:
    """Raises ValueError if a BatchNorm couples the inputs of a batch in evaluation mode too."""
    names = {} if not isinstance(model, nn.Module) else {module: name for name, module in model.named_modules()}
    for module in modules_of(model):
        if isinstance(module, _BatchNorm) and module.running_mean is None:
            raise ValueError(
                f"{names.get(module) or 'the model'} ({type(module).__name__}) keeps no running statistics, so that "
                "an input's gradient depends on the other inputs of its batch: set track_running_stats=True, or take "
                "GroupNorm"
            )


def check_labels(labels: Int[Tensor, "n"], logits: Float[Tensor, "batch classes"]) -> None:
    """Raises ValueError if a label is not the index of a logit."""
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= logits.shape[-1]:
        raise ValueError(f"labels range over [{low}, {high}], the model has classes 0..{logits.shape[-1] - 1}: relabel")


def _check_gradients_are_on() -> None:
    if torch.is_inference_mode_enabled():
        raise RuntimeError(
            "rrr_loss needs input gradients, which torch.inference_mode() rules out even inside torch.enable_grad(): "
            "use torch.no_grad() outside and torch.enable_grad() around this call, or strength=0"
        )
    if not torch.is_grad_enabled():
        raise RuntimeError(
            "rrr_loss needs input gradients, which torch.no_grad() switches off: wrap this call in "
            "`with torch.enable_grad():` (a validation step, for example), or pass strength=0"
        )


@contextmanager
def _running_statistics(model: Model) -> Iterator[None]:
    warnings.warn(
        "BatchNorm in training mode couples the inputs of a batch: the RRR penalty uses its running statistics. Judge "
        "the network under model.eval(): where it is much less accurate there than in training, call .eval() on the "
        "BatchNorm layers before the loop, or use GroupNorm",
        stacklevel=3,
    )
    training = [module for module in modules_of(model) if isinstance(module, _BatchNorm) and module.training]
    try:
        for module in training:
            module.eval()
        yield
    finally:
        for module in training:
            module.train()


def _check_double_backward(logits: Tensor) -> None:
    """Raises RuntimeError if the graph has a node that autograd cannot differentiate twice."""
    seen, stack = set(), [logits.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        for name, way_out in NO_DOUBLE_BACKWARD.items():
            if node.name().startswith(name):
                raise RuntimeError(f"{node.name()} has no double backward: {way_out}")
        stack.extend(cast("torch.autograd.graph.Node | None", previous) for previous, _ in node.next_functions)
