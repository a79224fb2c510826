"""Letters and the classifier that is trained on them: 200 letters, one epoch."""

import pytest
import torch
from rrrbench.benchmark.counterfactuals import subject as subject_module
from rrrbench.benchmark.counterfactuals.subject import trained
from rrrbench.benchmark.networks import networks
from rrrbench.benchmark.suite.training import Training
from rrrbench.datasets.glyphs import draw_glyphs

LENET = networks.resolve("lenet")


def test_a_classifier_is_trained_once_for_the_same_letters(tmp_path, monkeypatch):
    glyphs, training = draw_glyphs(0, train=200, validation=20), Training(epochs=1, batch_size=50)
    state = torch.get_rng_state()
    first = trained(glyphs, LENET, training, tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    monkeypatch.setattr(subject_module, "_fit", lambda *_: pytest.fail("trained again"))
    again = trained(draw_glyphs(0, train=200, validation=20), LENET, training, tmp_path)
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name])
    assert len(list(tmp_path.iterdir())) == 1
    for letters, network, schedule in (
        (draw_glyphs(1, train=200, validation=20), LENET, training),
        (glyphs, networks.resolve("mlp"), training),
        (glyphs, LENET, Training(epochs=2, batch_size=50)),
    ):
        with pytest.raises(pytest.fail.Exception, match="trained again"):
            trained(letters, network, schedule, tmp_path)


def test_a_classifier_is_trained_as_its_suite_says():
    """Every setting that a suite can state changes the classifier, or is the default."""
    glyphs = draw_glyphs(0, train=100, validation=20)
    base = {"epochs": 1, "batch_size": 50}

    def head(network="mlp", **changes):
        return trained(glyphs, networks.resolve(network), Training(**{**base, **changes})).head.weight.detach()

    changes = [{}, {"learning_rate": 0.01}, {"weight_decay": 0.5}, {"shuffle": False}, {"epochs": 2}]
    changes += [
        {"optimizer": "adamw", "weight_decay": 0.5},
        {"optimizer": "sgd"},
        {"optimizer": "sgd", "momentum": 0.9},
        {"precision": "bf16"},
    ]
    found = [head(**change) for change in changes] + [head({"name": "mlp", "pixel_range": (-1, 1)})]
    assert torch.equal(found[0], head(optimizer="adam", weight_decay=0.0))
    for i, one in enumerate(found):
        assert not any(torch.equal(one, other) for other in found[:i]), i


def test_a_damaged_file_of_a_classifier_is_named(tmp_path):
    glyphs, training = draw_glyphs(0, train=200, validation=20), Training(epochs=1)
    trained(glyphs, LENET, training, tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(b"garbage")
    with pytest.raises(ValueError, match=rf"{kept.name} does not read as the classifier .*: delete it"):
        trained(glyphs, LENET, training, tmp_path)
