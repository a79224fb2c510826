"""The laws of a network: the engine trains the network that a plain PyTorch loop trains, alone and in a stack."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from ...datasets.base import Batch, ShortcutDataset, generator
from ...datasets.recipe import make
from ...methods.base import Mitigation
from ...methods.mitigations.erm import ERM
from ...methods.mitigations.rrr import RRR
from ..engine.plan import Engine
from ..engine.trainer import Trainer
from ..networks import NetworkRecipe
from ..networks.check import check
from ..networks.rebuilding import kept_between_seeds
from ..suite.training import Training
from .small import small_dataset, trained_part
from .violation import Violation, require, same_numbers

INPUTS = 16
TRAINING = Training(epochs=1, batch_size=8, learning_rate=0.01)
STRENGTHS = (0.0, 2.0)
_BY_PARAMETERS = (
    "let `forward` compute the logits from its inputs and the registered parameters alone, without .data, counters or "
    "values kept from step to step"
)


def it_fits(recipe: NetworkRecipe) -> None:
    """1: the network is built for a dataset of ours, by its seed, and can be trained as the network it is.

    Raises:
        Violation: as `networks.check` says.
    """
    dataset = dataset_for(recipe)
    try:
        check(recipe, dataset)
    except ValueError as error:
        raise Violation(str(error)) from error
    state = torch.get_rng_state()
    one, same = (dict(recipe.build(dataset, 3).named_parameters()) for _ in range(2))
    require(torch.equal(state, torch.get_rng_state()), "building it moves the global random state: draw in `layers`")
    require(
        all(torch.equal(value, same[name]) for name, value in one.items()),
        "two networks of one seed are initialised differently: draw from torch's generator alone",
    )


def a_plain_loop_trains_the_same(recipe: NetworkRecipe, mitigation: Mitigation, engine: Engine = "auto") -> None:
    """2: the engine's parameters are those of a plain PyTorch loop over the module itself, in float64, to rounding.

    For ERM and for RRR, of two seeds and two strengths.
    """
    draws = [trained_part(dataset_for(recipe, seed), INPUTS) for seed in (0, 1)]
    trainer = Trainer(
        recipe, draws, TRAINING, torch.tensor([STRENGTHS] * 2, dtype=torch.float64), engine=engine, dtype=torch.float64
    )
    fitted = mitigation.fit(trainer)
    for row, draw in enumerate(draws):
        for column, strength in enumerate(STRENGTHS):
            for name, value in plain_loop(recipe, draw, strength if isinstance(mitigation, RRR) else 0.0).items():
                subject = f"parameters {name} of the engine and a plain loop, {mitigation.id} at strength {strength:g},"
                same_numbers(fitted.parameters[name][row, column], value, 1e-7, 1e-9, subject, _BY_PARAMETERS)


def plain_loop(recipe: NetworkRecipe, draw: ShortcutDataset, strength: float) -> dict[str, Tensor]:
    """A run's parameters, by a loop that knows nothing of the engine; RRR's penalty at strength > 0."""
    module = recipe.build(draw, draw.seed).double()
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, TRAINING.learning_rate, weight_decay=TRAINING.weight_decay)
    order = torch.Generator().manual_seed(int(generator(draw.seed, "order").integers(2**63)))
    data = draw.train.batch()
    for _ in range(TRAINING.epochs):
        for rows in torch.randperm(len(data.labels), generator=order).split(TRAINING.batch_size):
            inputs = data.inputs[rows].double().requires_grad_()
            optimizer.zero_grad()
            with sdpa_kernel(SDPBackend.MATH):
                logits = module(inputs)
                loss = F.cross_entropy(logits, data.labels[rows])
                if strength:
                    loss = loss + strength * _penalty(logits, inputs, data, rows)
                loss.backward()
            optimizer.step()
    return {name: value.detach() for name, value in module.named_parameters()}


def _penalty(logits: Tensor, inputs: Tensor, data: Batch, rows: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(logits.log_softmax(1).sum(), inputs, create_graph=True)
    return (gradient * data.masks[rows]).square().flatten(1).sum(1).mean()


def dataset_for(recipe: NetworkRecipe, seed: int = 0) -> ShortcutDataset:
    """The smallest of our datasets that the network can be built for: 1x6x6 inputs, or decoy digits of 1x28x28.

    Raises:
        Violation: it can be built for neither.
    """
    for dataset in (small_dataset(seed), make("decoy", seed, base="digits")):
        try:
            kept_between_seeds(recipe, dataset)  # before anything is built, because a cache shows only once
            recipe.build(dataset, seed)
        except (ValueError, RuntimeError, TypeError) as error:
            reason = error
        else:
            return dataset
    raise Violation(f"{recipe.id} can be built for inputs of neither 1x6x6 nor 1x28x28: {reason}")


def laws() -> dict[str, Callable[[NetworkRecipe], None]]:
    """The laws of a network, by title."""
    return {
        "1 it is built by its seed, and is trained as it is or refused": it_fits,
        "2 a plain loop trains the same (ERM)": partial(a_plain_loop_trains_the_same, mitigation=ERM()),
        "2 a plain loop trains the same (RRR)": partial(a_plain_loop_trains_the_same, mitigation=RRR()),
    }
