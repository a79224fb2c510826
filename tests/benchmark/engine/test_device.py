from __future__ import annotations

import pytest
import torch
from rrrbench.benchmark.engine import trainer as trainer_module
from rrrbench.benchmark.engine.device import ON_CPU, PRODUCTS, float32_products, synchronize
from rrrbench.benchmark.engine.part import Part
from rrrbench.benchmark.judge import evaluation
from rrrbench.benchmark.running import suitable
from rrrbench.benchmark.suite.training import Training
from rrrbench.methods.mitigations.erm import ERM
from rrrbench.methods.mitigations.rrr import RRR
from small import small_trainer
from tiny import tiny_suite


def precisions():
    return [kind.fp32_precision for kind in PRODUCTS]


def test_the_gpu_that_trains_is_waited_for_and_not_the_current_gpu(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: waited.append(device))
    synchronize(torch.device("cuda:1"))
    synchronize(torch.device("cpu"))
    assert waited == [torch.device("cuda:1")]


@pytest.mark.long
def test_a_trial_waits_for_the_parts_device(monkeypatch):
    waited = []
    monkeypatch.setattr("rrrbench.benchmark.engine.device.synchronize", waited.append)
    ERM().fit(small_trainer(engine="auto"))
    assert waited
    assert set(waited) == {torch.device("cpu")}


@pytest.mark.parametrize(("precision", "expected"), [("float32", "ieee"), ("tf32", "tf32")])
def test_the_settings_decide_the_precision_and_are_put_back(precision, expected):
    before = precisions()
    with float32_products(precision):
        assert precisions() == [expected] * 3
    assert precisions() == before


OF_A_PROGRAM = {
    "nothing": lambda: None,
    "medium": lambda: torch.set_float32_matmul_precision("medium"),
    "no TF32 in convolutions": lambda: setattr(torch.backends.cudnn, "allow_tf32", False),
    "convolutions alone": lambda: setattr(torch.backends.cudnn.conv, "fp32_precision", "ieee"),
    "products alone": lambda: setattr(torch.backends.cuda.matmul, "fp32_precision", "tf32"),
}


def older():
    """torch's older settings; None where the newer ones contradict them, and torch raises."""
    found = []
    for read in (torch.get_float32_matmul_precision, lambda: torch.backends.cudnn.allow_tf32):
        try:
            found.append(read())
        except RuntimeError:
            found.append(None)
    return found


@pytest.fixture
def usual():
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = True


@pytest.mark.parametrize("setting", OF_A_PROGRAM.values(), ids=OF_A_PROGRAM)
@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_what_a_program_has_set_neither_counts_nor_is_lost_and_networks_may_read_it(usual, setting, precision):
    setting()
    before = [kind.fp32_precision for kind in (*PRODUCTS, *ON_CPU)], older()
    with float32_products(precision):
        assert [kind.fp32_precision for kind in ON_CPU] == ["ieee"] * 3
        assert torch.backends.cuda.matmul.allow_tf32 == (precision == "tf32")
        with torch.backends.cudnn.flags(enabled=False):  # reads all of cuDNN's settings
            pass
    assert [kind.fp32_precision for kind in (*PRODUCTS, *ON_CPU)] == before[0]
    assert all(was in (None, now) for was, now in zip(before[1], older(), strict=True))


@pytest.mark.parametrize(("settings", "expected"), [({}, "ieee"), ({"precision": "tf32"}, "tf32")])
def test_a_step_has_the_trainings_precision_and_an_evaluation_all_bits(monkeypatch, settings, expected):
    seen, step = [], Part.step
    monkeypatch.setattr(Part, "step", lambda self, batch: seen.append(precisions()) or step(self, batch))
    trainer = small_trainer(epochs=1, **settings)
    fitted = ERM().fit(trainer)
    assert seen
    assert all(found == [expected] * 3 for found in seen)
    seen.clear()
    trainer.per_input_of_run(fitted, 0, 0, lambda net, batch: seen.append(precisions()) or net(batch.inputs))
    assert seen == [["ieee"] * 3]


def test_what_is_asked_of_networks_before_training_is_asked_with_all_bits(usual, monkeypatch):
    """Rounded products make an input's logits differ with the batch, and a stack's gradients from a run's."""
    seen = []

    def noting(function):
        def noted(*arguments, **options):
            seen.append([kind.fp32_precision for kind in ON_CPU])
            return function(*arguments, **options)

        return noted

    asked = [(trainer_module, name) for name in ("check", "why_unstackable", "takes_channels_last")]
    for module, name in (*asked, (suitable, "check"), (evaluation, "evaluated")):
        monkeypatch.setattr(module, name, noting(getattr(module, name)))
    torch.set_float32_matmul_precision("medium")
    small_trainer(epochs=1)
    suitable.require_suitable(tiny_suite().stacks()[:1])
    evaluation.evaluate(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10)), "decoy-digits")
    assert len(seen) >= 5
    assert all(found == ["ieee"] * 3 for found in seen)


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_a_key_shows_the_precision_where_it_is_not_the_default(precision):
    assert "precision" not in Training().identity()
    assert Training(precision=precision).identity()["precision"] == precision


def test_bf16_rounds_the_factors_of_products_and_keeps_logits_and_parameters():
    trainer = small_trainer(epochs=1, precision="bf16", dtype=torch.float32)
    hidden, logits = [], []

    class Seen(ERM):
        name = "seen"

        def terms(self, net, batch, strength):
            hidden.append(net.features(batch.inputs).dtype)
            logits.extend((net(batch.inputs).dtype, net.head(net.features(batch.inputs)).dtype))
            return super().terms(net, batch, strength)

    fitted = Seen().fit(trainer)
    assert torch.bfloat16 in hidden  # of the step; liveness is measured beside it
    assert set(logits) == {torch.float32}
    assert {value.dtype for value in fitted.parameters.values()} == {torch.float32}
    one = torch.ones(1, 1)
    assert (one @ one).dtype == torch.float32  # the process's setting is as before


@pytest.mark.parametrize("mitigation", [ERM(), RRR()], ids=lambda mitigation: mitigation.name)
@pytest.mark.parametrize("engine", ["stacked", "single"])
def test_bf16_is_float32_but_for_its_rounding(mitigation, engine):
    exact, rounded = (
        mitigation.fit(small_trainer(epochs=2, engine=engine, precision=precision, dtype=torch.float32)).parameters[
            "head.weight"
        ]
        for precision in ("float32", "bf16")
    )
    difference = (exact - rounded).abs().max() / exact.abs().max()
    assert 0 < difference < 0.05
