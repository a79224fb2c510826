"""Everything that computes, on a device beside the CPU: no mix of devices, the CPU's numbers, no wait in a step."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pretend_device import OnDevice, to_host, waits
from rrrbench.benchmark.conformance.small import SmallConvolutional
from rrrbench.benchmark.engine import tracing
from rrrbench.benchmark.engine.part import parts_of
from rrrbench.benchmark.engine.trainer import Trainer
from rrrbench.benchmark.networks import networks
from rrrbench.benchmark.running.executors import Settings, Task, run_stack
from rrrbench.benchmark.suite.loading import parse_suite
from rrrbench.datasets.recipe import make
from rrrbench.methods.base import mitigations
from rrrbench.methods.explainers.base import explainers
from rrrbench.methods.fitting import CURVES, Fitted
from rrrbench.methods.own_loop import rrr_loss
from small import small_trainer, trainer_for

VARIANTS = [
    *({"name": "rrr", "target": target} for target in ("prob_max", "cross_entropy", "random_projection")),
    *({"name": "shortcut_masking", "fill": fill} for fill in ("zero", "noise", "inpaint")),
]
TIMES = {"seconds", "seconds/setup"}


AT_EVERY_CHANGE = (
    *("erm", "rrr", "actdiff", "adversarial_debiasing", "background_swap", "cdep", "counterexamples", "eiil"),
    *("expected_gradients", "group_dro", "lff", "lisa", "rand_r4", "rrr_gradcam", "saliency_guided", "smooth_rrr"),
)
"""Methods of every kind, and all that draw in a step."""


def quick_or_slow(names, quick):
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.fixture
def soon_traced(monkeypatch):
    """Programs are traced after a few steps, so that short trainings have traced steps too."""
    monkeypatch.setattr(tracing, "TRACE_AFTER", 2)


def on(device, trainer, engine=None):
    other = Trainer(
        trainer.network,
        trainer.evaluated_draws,
        trainer.training,
        to_host(trainer.strengths),
        device=device,
        dtype=trainer.dtype,
        engine=engine or trainer.engine,
        auto=trainer.auto,
    )
    return other


def assert_the_same_on_the_device(mitigation, trainer, device, engine=None):
    fitted = mitigation.fit(on(device, trainer, engine))
    expected = mitigation.fit(trainer)
    for name, value in expected.parameters.items():
        assert isinstance(fitted.parameters[name], OnDevice), name
        torch.testing.assert_close(to_host(fitted.parameters[name]), value, rtol=1e-9, atol=1e-11)
    for name, value in expected.curves.items():
        torch.testing.assert_close(to_host(fitted.curves[name]), value, rtol=1e-9, atol=1e-11, equal_nan=True)


@pytest.mark.long
@pytest.mark.parametrize("name", quick_or_slow(mitigations.names(), {"rrr"}))
def test_a_mitigation_trains_as_on_the_cpu(pretend, soon_traced, name):
    mitigation = mitigations.resolve(name)
    assert_the_same_on_the_device(mitigation, trainer_for(mitigation, epochs=2), pretend)


@pytest.mark.slow
@pytest.mark.parametrize("spec", VARIANTS, ids=lambda spec: "-".join(spec.values()))
def test_a_variant_of_a_mitigation_trains_as_on_the_cpu(pretend, soon_traced, spec):
    mitigation = mitigations.resolve(spec)
    assert_the_same_on_the_device(mitigation, trainer_for(mitigation, epochs=2), pretend)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["single", "auto"])
def test_every_engine_trains_as_on_the_cpu(pretend, soon_traced, engine):
    rrr = mitigations.resolve("rrr")
    assert_the_same_on_the_device(rrr, trainer_for(rrr, epochs=2), pretend, engine)


@pytest.mark.slow
def test_automatic_strengths_are_the_cpus(pretend):
    rrr = mitigations.resolve("rrr")
    assert_the_same_on_the_device(rrr, trainer_for(rrr, epochs=2, auto=True), pretend)


@pytest.mark.slow
@pytest.mark.parametrize("name", mitigations.names())
def test_a_mitigation_trains_convolutions_as_on_the_cpu(pretend, soon_traced, name):
    mitigation, draws = mitigations.resolve(name), trainer_for(mitigations.resolve(name)).draws
    trainer = small_trainer(draws=draws, network=SmallConvolutional(), epochs=2)
    if obstacle := mitigation.obstacle(draws[0], trainer.modules[0]):
        pytest.skip(obstacle)
    assert_the_same_on_the_device(mitigation, trainer, pretend)


def stepped(mitigation, trainer, traced):
    """What each training of a stack's fit waits for in a step; the training ends with that step."""
    found = []

    def one_step(objective, **options):
        runs = trainer.runs(**{name: value for name, value in options.items() if value is not None})
        part = parts_of(objective, runs)((slice(0, 2), slice(0, 2)))
        if traced:
            part.trace()
        (index, _), *_ = part._indices()
        part.data.areas  # noqa: B018  # counted once a training
        with waits() as waited:
            part.step(part.batch(index))
        found.append(dict(waited))
        nothing = torch.zeros_like(runs.strengths)
        curves = dict.fromkeys(CURVES, nothing[..., None])
        parameters = {name: value for name, value in part.parameters.items() if name not in part.own}
        return Fitted(parameters, curves, dict.fromkeys(("start", "middle", "end"), nothing), nothing)

    trainer.train = one_step
    trainer.altered = lambda **_: trainer  # whose trainings are recorded too
    mitigation.fit(trainer)
    return found


@pytest.mark.parametrize("name", quick_or_slow(mitigations.names(), AT_EVERY_CHANGE))
def test_a_step_does_not_wait_for_the_device(pretend, name):
    mitigation = mitigations.resolve(name)
    assert not any(stepped(mitigation, on(pretend, trainer_for(mitigation, epochs=1)), traced=False))


@pytest.mark.long
@pytest.mark.parametrize("name", quick_or_slow(mitigations.names(), {"rrr"}))
def test_a_traced_step_does_not_wait_for_the_device(pretend, name):
    mitigation = mitigations.resolve(name)
    assert not any(stepped(mitigation, on(pretend, trainer_for(mitigation, epochs=1)), traced=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", mitigations.names())
def test_a_step_of_a_convolution_does_not_wait_for_the_device(pretend, name):
    mitigation, draws = mitigations.resolve(name), trainer_for(mitigations.resolve(name)).draws
    trainer = small_trainer(draws=draws, network=SmallConvolutional(), epochs=1)
    if obstacle := mitigation.obstacle(draws[0], trainer.modules[0]):
        pytest.skip(obstacle)
    for traced in (False, True):
        assert not any(stepped(mitigation, on(pretend, trainer), traced))


@pytest.mark.parametrize("network", ["lenet", pytest.param("mlp", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", quick_or_slow(explainers.names(), {"input_gradient", "gradcam", "smooth_gradient"}))
def test_an_explainer_explains_as_on_the_cpu(pretend, name, network):
    draw, explainer = make("decoy", 0, base="digits"), explainers.resolve(name)
    module = networks.resolve(network).build(draw, 0)
    if obstacle := explainer.obstacle(module):
        pytest.skip(obstacle)
    inputs, labels = draw.train.batch(slice(0, 2)).inputs, draw.train.labels[:2]
    expected = explainer.attribute(module, inputs, labels)
    found = explainer.attribute(module.to(pretend), inputs.to(pretend), labels.to(pretend))
    assert isinstance(found, OnDevice)
    torch.testing.assert_close(to_host(found), expected)


@pytest.mark.parametrize("name", quick_or_slow(networks.names(), {"lenet"}))
def test_a_network_takes_a_step_as_on_the_cpu(pretend, name):
    draw, found = make("decoy", 0, base="digits"), {}
    try:
        module = networks.resolve(name).build(draw, 0).double()
    except ValueError as error:  # photos, weights or embeddings alone
        pytest.skip(str(error))
    batch = draw.train.batch(slice(0, 4))
    for device in ("cpu", pretend):
        module = module.to(device)
        inputs, labels, masks = (values.to(device) for values in (batch.inputs.double(), batch.labels, batch.masks))
        loss = rrr_loss(module, inputs, labels, masks, 0.1)
        module.zero_grad()
        loss.backward()
        found[device] = {name: to_host(parameter.grad) for name, parameter in module.named_parameters()}
    torch.testing.assert_close(found[pretend], found["cpu"], rtol=1e-8, atol=1e-10)


def suite(**sweep):
    every = {
        "dataset": {"name": "decoy", "base": "digits"},
        "network": {"name": "mlp", "hidden": [8]},
        "training": {"epochs": 2, "batch_size": 128},
    }
    return parse_suite({"name": "device", "seeds": [0, 1], "sweeps": [{**every, **sweep}]}, "device")


def assert_the_same_records(stack, device, **settings):
    expected, found = (run_stack(Task(stack), Settings(device=at, **settings)) for at in ("cpu", device))
    assert [record.status for record in found.records] == [record.status for record in expected.records]
    for record, other in zip(found.records, expected.records, strict=True):
        assert record.status == "finished", record.error
        assert record.metrics.keys() == other.metrics.keys()
        for name in record.metrics.keys() - TIMES:
            assert record.metrics[name] == pytest.approx(other.metrics[name], rel=1e-3, abs=2e-3), name
    assert found.models.keys() == expected.models.keys()
    assert not any(isinstance(value, OnDevice) for model in found.models.values() for value in model.values())
    assert (found.panel is None) == (expected.panel is None)


@pytest.mark.long
@pytest.mark.parametrize(
    ("mitigation", "strengths"), [("erm", None), pytest.param("rrr", [0.1, 1.0], marks=pytest.mark.slow)]
)
def test_a_stack_from_draw_to_record(pretend, mitigation, strengths):
    sweep = {"mitigation": mitigation} | ({"strengths": strengths} if strengths else {})
    (stack,) = suite(mitigations=[sweep]).stacks()
    assert_the_same_records(stack, pretend, engine="stacked", save_models=True)


@pytest.mark.slow
def test_a_stack_with_every_explainer_from_draw_to_record(pretend):
    (stack,) = suite(mitigations=[{"mitigation": "rrr", "strengths": [0.1]}], network={"name": "lenet"}).stacks()
    ranked = replace(stack, explainers=tuple(map(explainers.resolve, explainers.names())), seeds=(0,))
    assert_the_same_records(ranked, pretend, engine="stacked")
