from __future__ import annotations

import shutil
from typing import ClassVar

import pytest
import torch
from rrrbench.benchmark.engine import memory, tracing
from rrrbench.benchmark.engine.part import Part, parts_of
from rrrbench.benchmark.engine.places import FIRST_RUN
from rrrbench.benchmark.engine.trainer import Trainer
from rrrbench.benchmark.networks import networks
from rrrbench.benchmark.suite.training import Training
from rrrbench.datasets.recipe import make
from rrrbench.methods.base import Terms, mitigations
from rrrbench.methods.mitigations.erm import ERM
from rrrbench.methods.mitigations.find_another_explanation import FindAnotherExplanation
from rrrbench.methods.mitigations.rrr import RRR
from rrrbench.methods.network import Net
from small import small_dataset, small_trainer, trainer_for, without_masks
from torch.nn import functional as F


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_a_run_is_a_plain_pytorch_loop(optimizer):
    """The whole engine against the loop that anybody would write, in order and with weight decay."""
    settings = {"optimizer": optimizer, "momentum": 0.9, "weight_decay": 0.01, "learning_rate": 0.02}
    trainer = small_trainer((0.05,), seeds=(3,), shuffle=False, epochs=2, **settings)
    fitted = RRR().fit(trainer)

    data = small_dataset(3).train
    module = trainer.network.build(small_dataset(3), 3).double()
    loop = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}.get(optimizer, torch.optim.SGD)(
        module.parameters(),
        lr=0.02,
        weight_decay=0.01,
        **({"momentum": 0.9} if optimizer == "sgd" else {}),
    )
    for _ in range(2):
        for start in range(0, len(data), 8):
            x = data.inputs[start : start + 8].double().requires_grad_()
            log_probs = F.log_softmax(module(x), -1)
            (gradient,) = torch.autograd.grad(log_probs.sum(), x, create_graph=True)
            penalty = (gradient * data.masks[start : start + 8]).square().flatten(1).sum(1).mean()
            loop.zero_grad()
            (F.nll_loss(log_probs, data.labels[start : start + 8]) + 0.05 * penalty).backward()
            loop.step()
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(fitted.parameters[name][0, 0], parameter.detach(), rtol=1e-8, atol=1e-10)


def test_a_mitigation_never_sees_the_test_environments():
    class Peeks(ERM):
        name: ClassVar[str] = "peeks"

        def parameters(self, module, dataset):
            seen.append(dataset)
            return super().parameters(module, dataset)

        def fit(self, trainer):
            seen.extend(trainer.draws)
            return super().fit(trainer)

    seen = []
    Peeks().fit(small_trainer((0.0,), seeds=(0, 1)))
    assert seen
    assert all(len(draw.train) and len(draw.validation) and not draw.environments for draw in seen)


@pytest.mark.long
def test_a_diverged_run_ends_alone():
    trainer = small_trainer((0.0, 1e300), seeds=(0,), dtype=torch.float64, optimizer="sgd", learning_rate=1e20)
    alone = RRR().fit(small_trainer((0.0,), seeds=(0,), optimizer="sgd", learning_rate=0.1))
    assert not alone.diverged.any()
    assert RRR().fit(trainer).diverged[0, 1]
    mixed = RRR().fit(small_trainer((0.0, 1e300), seeds=(0,), optimizer="sgd", learning_rate=0.1))
    assert mixed.diverged.tolist() == [[False, True]]
    for name, value in alone.parameters.items():
        torch.testing.assert_close(mixed.parameters[name][:, :1], value)


def test_seeds_have_their_own_initialisation_and_order_and_share_them_over_strengths():
    fitted = ERM().fit(small_trainer((0.0,), seeds=(0, 1), epochs=1))
    first, second = (fitted.parameters["head.weight"][row, 0] for row in (0, 1))
    assert not torch.equal(first, second)
    again = ERM().fit(small_trainer((0.0,), seeds=(1,), epochs=1))
    torch.testing.assert_close(again.parameters["head.weight"][0, 0], second)


@pytest.mark.slow
def test_law_4_for_convolutions():
    draws = [make("colored-patch", seed, base="digits", validation=1281) for seed in (0, 1)]
    strengths = torch.tensor([[0.0, 0.01]] * 2)
    training = Training(epochs=1, batch_size=8)
    fits = [
        RRR().fit(Trainer(networks.resolve("lenet"), draws, training, strengths, engine=engine, dtype=torch.float64))
        for engine in ("stacked", "single")
    ]
    for name, value in fits[0].parameters.items():
        torch.testing.assert_close(value, fits[1].parameters[name], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strengths": (-1.0,)}, "finite and not negative"),
        ({"strengths": (float("nan"),)}, "finite and not negative"),
        ({"batch_size": 25}, r"batch_size = 25 is larger than the training data of small \(24 inputs\)"),
    ],
)
def test_what_cannot_be_trained_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        small_trainer(**change)


@pytest.mark.long
def test_a_stack_larger_than_memory_is_split_by_itself(monkeypatch):
    whole = RRR().fit(small_trainer((0.0, 0.1, 1.0), seeds=(0, 1)))
    needed = []
    trained = Part.train
    monkeypatch.setattr(Part, "train", lambda self: needed.append(self.strengths.numel()) or trained(self))
    trainer = small_trainer((0.0, 0.1, 1.0), seeds=(0, 1))
    for_two = 2 * parts_of(RRR(), trainer.runs())(FIRST_RUN).trace()
    monkeypatch.setattr(memory, "free_memory", lambda device: for_two / memory.SHARE_OF_MEMORY + 1)
    parted = RRR().fit(trainer)
    assert needed == [2, 2, 2]  # both seeds of one strength at a time
    for name, value in whole.parameters.items():
        torch.testing.assert_close(value, parted.parameters[name], rtol=1e-7, atol=1e-9)


@pytest.mark.long
def test_out_of_memory_halves_the_stack_and_goes_on(monkeypatch):
    whole = RRR().fit(small_trainer((0.0, 0.1, 1.0), seeds=(0, 1)))
    attempts, step = [], Part.step

    def limited(self, batch):
        attempts.append(self.strengths.numel())
        if self.strengths.numel() > 2:
            raise torch.OutOfMemoryError("planted")
        return step(self, batch)

    monkeypatch.setattr(Part, "step", limited)
    parted = RRR().fit(small_trainer((0.0, 0.1, 1.0), seeds=(0, 1)))
    assert attempts[:2] == [6, 2]  # the first half has strength 0 of both seeds
    for name, value in whole.parameters.items():
        torch.testing.assert_close(value, parted.parameters[name], rtol=1e-7, atol=1e-9)


def test_a_single_run_that_does_not_fit_says_so(monkeypatch):
    def never(self, batch):
        raise torch.OutOfMemoryError("planted")

    monkeypatch.setattr(Part, "step", never)
    with pytest.raises(torch.OutOfMemoryError, match="planted"):
        RRR().fit(small_trainer((0.0, 0.1)))


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="compiling needs a C++ compiler")
@pytest.mark.filterwarnings("default")
def test_law_4_compiled_the_numbers_are_the_same(monkeypatch):
    monkeypatch.setattr(tracing, "TRACE_AFTER", 2)
    stacked, compiled = (RRR().fit(small_trainer(engine=engine)) for engine in ("stacked", "compiled"))
    for name, value in stacked.parameters.items():
        torch.testing.assert_close(value, compiled.parameters[name], rtol=1e-9, atol=1e-11)


@pytest.mark.long
@pytest.mark.parametrize("engine", ["stacked", "single"])
def test_masks_for_each_strength_reach_their_strength(engine):
    trainer = small_trainer((0.1, 0.1), seeds=(0, 1), engine=engine)
    true = trainer.train_data.masks
    masks = torch.cat((true, torch.zeros_like(true)), 1)
    fitted = trainer.train(FindAnotherExplanation(), masks=masks)  # whose terms are RRR's, without its augment
    erm = ERM().fit(small_trainer((0.0,), seeds=(0, 1), engine=engine))
    rrr = RRR().fit(small_trainer((0.1,), seeds=(0, 1), engine=engine))
    for name, value in fitted.parameters.items():
        torch.testing.assert_close(value[:, :1], rrr.parameters[name])
        torch.testing.assert_close(value[:, 1:], erm.parameters[name])


@pytest.mark.long
@pytest.mark.parametrize("mitigation", ["rrr", "avg_ex", "jtt", "r4"])
def test_automatic_strengths_balance_both_terms_before_training(mitigation):
    """Learning at a rate of 0 keeps the network where it was, so an epoch's curves are the terms at initialisation."""
    settings = {"epochs": 1, "learning_rate": 1e-30, "shuffle": False}
    method = mitigations.resolve(mitigation)
    fitted = method.fit(trainer_for(method, (0.0, 0.5, 2.0), auto=True, **settings))
    ratio = fitted.curves["right_reason"] / fitted.curves["right_answer"]
    expected = torch.tensor([[[0.0], [0.5], [2.0]]] * 2, dtype=torch.float64)
    drawn = 0.3 if mitigation == "avg_ex" else 1e-12  # whose noise is drawn anew
    torch.testing.assert_close(ratio, expected, rtol=drawn, atol=0)
    assert (fitted.metrics["strength"][:, 1] * 4).tolist() == pytest.approx(fitted.metrics["strength"][:, 2].tolist())


@pytest.mark.long
def test_automatic_strengths_are_trained_as_the_numbers_that_came_out():
    auto = RRR().fit(small_trainer((0.5,), auto=True))
    strengths = auto.metrics["strength"]
    assert strengths[0] != strengths[1]
    plain = small_trainer((0.0,))
    plain.strengths = strengths
    same = RRR().fit(plain)
    assert all(torch.equal(value, same.parameters[name]) for name, value in auto.parameters.items())


def test_an_automatic_strength_of_a_term_without_masks_is_0():
    draws = [without_masks(small_dataset(seed)) for seed in (0, 1)]
    assert (RRR().fit(small_trainer((0.5,), draws=draws, auto=True)).metrics["strength"] == 0).all()


def test_a_term_that_starts_below_0_has_no_automatic_strength():
    class Negative(RRR):
        name: ClassVar[str] = "negative"

        def terms(self, net, batch, strength):
            right_answer, right_reason = super().terms(net, batch, strength)
            return Terms(right_answer, -right_reason)

    with pytest.raises(ValueError, match=r"negative has -.*give its strengths as numbers"):
        Negative().fit(small_trainer((0.5,), auto=True))


def test_altered_changes_splits_or_epochs_of_a_copy():
    trainer = small_trainer(epochs=3)
    other = trainer.altered(splits=[small_dataset(seed, n=16).train for seed in (0, 1)], epochs=2)
    assert (other.epochs, len(other.train_data), tuple(other.labels.shape)) == (2, 16, (2, 16))
    assert (trainer.epochs, len(trainer.train_data)) == (3, 24)
    assert torch.equal(other.shortcuts, other.train_data.shortcuts)
    assert ERM().fit(other).curves["right_answer"].shape[-1] == 2


def test_a_function_of_every_network_and_input():
    trainer = small_trainer()
    fitted = RRR().fit(trainer)
    logits = trainer.per_input(fitted, lambda net, batch: net(batch.inputs))
    assert logits.shape == (2, 2, 24, 3)
    alone = trainer.per_input_of_run(fitted, 1, 0, lambda net, batch: net(batch.inputs))
    assert torch.equal(logits[1, 0], alone)
    net = Net(trainer.modules[1], {name: value[1, 0] for name, value in fitted.parameters.items()})
    torch.testing.assert_close(alone, net(small_dataset(1).train.batch().inputs.double()))
