r"""ShortKit-ML's M05: a trained model's RRR fine-tuning (Ross, Hughes, Doshi-Velez: IJCAI 2017), `fit` in one call.

    loss = mean_n -log p_y(x_n)  +  lambda_rrr * mean_n sum_d ( A_nd * d/dx_nd target(x_n) )^2

The mean is over a batch, so that lambda_rrr does not depend on its size; ShortKit-ML has a sum. target is
sum_k log p_k, as in the paper; ShortKit-ML's log p_y (`target="log_prob_true"`) has a factor (1 - p_y), so that it asks
nothing of a confident model. A soft mask's A_nd is the square root of its value, so that the value weighs the squared
gradient, as in ShortKit-ML. Images are in [0, 1]; `methods.from_published` converts other units.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY
from math import prod
from typing import Annotated, Any, TypedDict

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from tqdm import tqdm

from ....methods.base import cross_entropy
from ....methods.independence import check_independence, unchanged
from ....methods.loss_inputs import types_named, warn_of_bytes
from ....methods.own_loop import as_logits, check_labels, check_logits, rrr_penalty
from ....methods.targets import TargetName
from .regularization_inputs import as_images, check_model, label_indices, masks_for
from .settings import SETTINGS, Count, Device, Position, Positive, Seed, Weight, check_settings, seeded

PROBED = 8
"""Images on which a model shows that it gives each image its own logits."""


class Epoch(TypedDict):
    """Means over the inputs of one epoch; `penalty` is without its weight, and NaN with `lambda_rrr=0`."""

    epoch: int
    ce_loss: float
    penalty: float


@dataclass(config=SETTINGS)
class ExplanationRegularization:
    """Fine-tunes a model, in place, so that its input gradients leave the shortcut alone.

    Args:
        lambda_rrr: weight of the penalty, for images in [0, 1].
        lr: of Adam, over the parameters that require gradients.
        head: which output the logits are, by name or by position, of a model that gives a dict, tuple, or list. The
            default stands for the first output of a tuple or list.
        device: where to train; the model is brought back afterwards. None for where it is.
        random_state: seed of the batches and of the model's own draws, e.g. dropout.
        target: whose input gradient is penalised, see `methods.targets`.
        reference_size: rows and columns for which `lambda_rrr` is meant: the penalty is multiplied by
            (rows * columns of the images) / (rows * columns), which makes it the same for the same images enlarged.
        classes: names of the model's outputs in their order, for labels that are names.

    Attributes:
        _history: one row for each epoch of the last `fit`.

    Raises:
        ValueError: an argument out of its range.
    """

    lambda_rrr: Weight = 1.0
    lr: Positive = 1e-4
    n_epochs: Count = 10
    batch_size: Count = 8
    head: Position = "logits"
    device: Device = None
    random_state: Seed = None
    _: KW_ONLY
    target: TargetName = "log_prob_sum"
    reference_size: Annotated[tuple[Count, Count], Field(strict=False)] | None = None
    classes: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if twice := [name for name, count in Counter(self.classes or ()).items() if count > 1]:
            raise ValueError(f"classes hold {twice[0]!r} twice: give each output a name of its own")
        self._history: list[Epoch] = []

    def fit(
        self,
        model: nn.Module,
        images: Float[Tensor, "n channels rows columns"],
        labels: ArrayLike,
        shortcut_masks: ArrayLike,
    ) -> ExplanationRegularization:
        """Trains the weights of `model`; its mode, device, gradients and running statistics stay as they are.

        Dropout is on, BatchNorm keeps its statistics: with those of a batch, an input's gradient is not its own.

        Args:
            images: in [0, 1]; the model's dtype is theirs.
            labels: indices of the model's outputs, or names of `classes`.
            shortcut_masks: 1 where the shortcut is, else 0, or a weight in between: (H, W) or (1, H, W) for all images,
                (N, H, W), or (N, 1 or C, H, W). Of another size than the images they are resized, by nearest neighbour,
                rows and columns each by a factor of its own.

        Raises:
            ValueError: lengths, shapes, or values that do not fit; no images; a model that takes no such images, gives
                no two logits, has a weight that is not finite, or nothing to train; or a model that couples the images
                of a batch, which may show after an epoch alone.
            RuntimeError: the loss is not finite, or the model has no input gradient.
        """
        check_settings(self)
        images = as_images(images)
        check_model(model)
        indices, masks = label_indices(labels, self.classes), masks_for(shortcut_masks, images.shape)
        if len(indices) != len(images):
            raise ValueError(f"labels length {len(indices)} is not that of {len(images)} images: give one each")
        trained = next((parameter for parameter in model.parameters() if parameter.requires_grad), None)
        if trained is None:
            raise ValueError("no parameter of the model requires gradients: there is nothing to train")
        device = trained.device if self.device is None else torch.device(self.device)
        with _as_it_was(model), seeded(self.random_state, device) as generator:
            net = LogitsOf(model if self.device is None else model.to(device), self.head)
            inputs = images.to(device, trained.dtype)
            warn_of_bytes(inputs)
            penalised = self.lambda_rrr > 0 and bool((masks > 0).any())
            probe = inputs[:PROBED].clone().requires_grad_(penalised)
            logits = _checked_logits(net, probe, indices, self.classes)
            if penalised:
                check_independence(net, probe, logits)
            _to_training_mode(net)
            self._history = self._train(net, inputs, indices.to(device), masks, generator, probe)
        return self

    def _train(
        self, net: nn.Module, images: Tensor, labels: Tensor, masks: Tensor, generator: torch.Generator, probe: Tensor
    ) -> list[Epoch]:
        annotated = np.broadcast_to((masks > 0).flatten(1).any(1).cpu().numpy(), len(images))  # no step asks a GPU
        masks = masks if masks.dtype == torch.bool else masks.to(images.dtype).sqrt()
        masks = masks.to(images.device).expand(len(images), -1, -1, -1)
        scale = 1.0 if self.reference_size is None else prod(images.shape[2:]) / prod(self.reference_size)
        parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
        optimizer, history = torch.optim.Adam(parameters, self.lr), []
        for epoch in tqdm(range(1, self.n_epochs + 1), "RRR", leave=False, delay=2):
            order = torch.randperm(len(images), generator=generator)
            sums = images.new_zeros(2)
            for rows, there in zip(*(o.split(self.batch_size) for o in (order, order.to(images.device))), strict=True):
                penalised = self.lambda_rrr > 0 and bool(annotated[rows.numpy()].any())
                inputs, targets = images[there].requires_grad_(penalised), labels[there]
                logits = net(inputs)
                loss = ce_loss = cross_entropy(logits, targets)
                penalty = torch.zeros_like(ce_loss)
                if penalised:
                    penalty = scale * rrr_penalty(net, inputs, logits, targets, masks[there], self.target)
                    loss = ce_loss + self.lambda_rrr * penalty
                gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter.grad = gradient
                optimizer.step()
                sums += len(rows) * torch.stack((ce_loss, penalty)).detach()
            ce_mean, penalty_mean = (sums / len(images)).tolist()
            if not np.isfinite((ce_mean, penalty_mean)).all():
                raise RuntimeError(
                    f"epoch {epoch}: ce_loss = {ce_mean:g}, penalty = {penalty_mean:g}: lower lr ({self.lr:g}) or "
                    f"lambda_rrr ({self.lambda_rrr:g}), and look for NaN in images and weights"
                )
            if probe.requires_grad:  # a branch that began at zero hid what it couples
                with unchanged(net, probe):
                    check_independence(net, probe, net(probe))
            history.append(Epoch(epoch=epoch, ce_loss=ce_mean, penalty=penalty_mean if self.lambda_rrr else np.nan))
        return history


class LogitsOf(nn.Module):
    """A model that gives its logits alone; errors call it by the model's name.

    Raises:
        ValueError: in the forward pass, if there is no output of that name or at that position.
    """

    def __init__(self, model: nn.Module, head: str | int) -> None:
        super().__init__()
        self.model, self.head = getattr(model, "_orig_mod", model), head  # a compiled program is differentiated once
        self.__qualname__ = type(model).__qualname__

    def forward(self, inputs: Float[Tensor, "batch *features"]) -> Tensor:
        output: Any = self.model(inputs)
        if isinstance(output, Tensor):
            return output
        if not isinstance(output, Mapping | tuple | list):
            raise ValueError(f"the model gives a {type(output).__name__}, expected a tensor, tuple, list or dict")
        named = isinstance(output, Mapping)
        names, values = (list(output), list(output.values())) if named else (getattr(output, "_fields", ()), output)
        if self.head in names:
            return values[names.index(self.head)]
        if isinstance(self.head, int) and -len(values) <= self.head < len(values):
            return values[self.head]
        if self.head == "logits" and len(values) and not named:
            return values[0]
        outputs = f"outputs {', '.join(map(str, names))}" if names else f"{len(values)} outputs"
        raise ValueError(f"the model gives a {type(output).__name__} with {outputs}, not head={self.head!r}")


@contextmanager
def _as_it_was(model: nn.Module) -> Iterator[None]:
    """The model without gradients; afterwards in its mode, on its device, and with its gradients again."""
    modes = [(module, module.training) for module in model.modules()]
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    devices = {tensor.device for tensor in (*model.parameters(), *model.buffers())}
    for parameter, _ in gradients:
        parameter.grad = None
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        if len(devices) == 1:
            model.to(devices.pop())
        for parameter, gradient in gradients:
            parameter.grad = gradient


def _to_training_mode(model: nn.Module) -> None:
    for module in model.train().modules():
        if isinstance(module, _BatchNorm):
            module.eval()


def _checked_logits(net: LogitsOf, images: Tensor, labels: Tensor, classes: Sequence[str] | None) -> Tensor:
    try:
        with types_named(net, images):
            output = net.eval()(images)
    except (RuntimeError, IndexError) as error:
        raise ValueError(f"the model does not take images of shape {tuple(images.shape)}: {error}") from error
    logits = as_logits(output, len(images))
    check_logits(logits)
    if classes is not None and len(classes) != logits.shape[1]:
        raise ValueError(f"classes has {len(classes)} names, the model {logits.shape[1]} outputs: name each output")
    check_labels(labels, logits)
    return logits
