"""A state dict from a file: read without running code, complete but for the head, and known by content."""

from __future__ import annotations

import pytest
import torch
from rrrbench.benchmark.networks import networks, weights
from rrrbench.benchmark.networks.weights import BadWeights
from rrrbench.datasets.recipe import make
from rrrbench.datasets.registry import BadParameters
from torch import nn
from torchvision.models import resnet18

SPEC = {"name": "torchvision", "model": "resnet18", "batch_norm": "frozen", "normalize": "none"}


@pytest.fixture(scope="module")
def draw():
    return make("decoy", 0, base="digits")


@pytest.fixture(scope="module")
def trained():
    """torchvision's ResNet-18 for ten classes, with other numbers than an initialisation has."""
    torch.manual_seed(5)
    module = resnet18(num_classes=10)
    for value in module.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.5)
    return module


@pytest.fixture
def path(trained, tmp_path):
    path = tmp_path / "w.pt"
    torch.save(trained.state_dict(), path)
    return path


def test_the_network_computes_what_the_files_network_computes(path, trained, draw):
    network = networks.resolve({**SPEC, "weights": str(path)}).build(draw, 0)
    images = draw.train.batch(slice(0, 3)).inputs
    with torch.no_grad():
        torch.testing.assert_close(network(images), trained.eval()(images.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_head_of_other_classes_is_made_anew_by_the_seed_and_said(prefix, trained, tmp_path, draw, caplog):
    state = {f"{prefix}{name}": value for name, value in trained.state_dict().items()}
    state[f"{prefix}fc.weight"], state[f"{prefix}fc.bias"] = torch.zeros(7, 512), torch.zeros(7)
    path = tmp_path / f"{prefix}seven.pt"
    torch.save(state, path)
    recipe = networks.resolve({**SPEC, "weights": str(path)})
    one, other = recipe.build(draw, 0), recipe.build(draw, 1)
    assert torch.equal(one.features.conv1.weight, trained.conv1.weight)
    assert torch.equal(one.features.conv1.weight, other.features.conv1.weight)
    assert not torch.equal(one.head.weight, other.head.weight)
    assert [record.message for record in caplog.records if "made anew" in record.message] == [
        f"network torchvision: {path}: fc.bias, fc.weight is of other classes or missing: the whole head is made anew"
    ]


def test_the_weights_that_a_suite_keeps_are_read_too(tmp_path, draw):
    """Their names are those of our networks, and they have what no optimiser trains."""
    recipe = networks.resolve(SPEC)
    other = recipe.build(draw, 3)
    torch.save(other.state_dict(), tmp_path / "ours.pt")
    network = networks.resolve({**SPEC, "weights": str(tmp_path / "ours.pt")}).build(draw, 0)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in network.state_dict().items())


def without(state, name):
    return {key: value for key, value in state.items() if key != name}


BROKEN = {
    "lacks": (lambda s: without(s, "layer1.0.conv1.weight"), "w.pt lacks layer1.0.conv1.weight: is it a state dict"),
    "more": (lambda s: {**s, "extra": torch.zeros(1)}, "w.pt has extra, and the network has not"),
    "shape": (
        lambda s: {**s, "conv1.weight": torch.zeros(64, 1, 3, 3)},
        r"other shapes: conv1.weight \(64, 1, 3, 3\) for \(64, 3, 7, 7\)",
    ),
    "nested": (lambda s: {"epoch": 3, "state_dict": s}, "holds epoch, state_dict beside or around tensors: save the"),
    "a tensor": (lambda s: torch.zeros(3), "holds a Tensor, not tensors by name"),
    "a module": (lambda s: nn.Linear(1, 1), "more than tensors.*save the state dict alone"),
}


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_does_not_fit_is_refused_with_its_entries(change, message, trained, tmp_path, draw):
    path = tmp_path / "w.pt"
    torch.save(change(trained.state_dict()), path)
    with pytest.raises(BadWeights, match=message):
        networks.resolve({**SPEC, "weights": str(path)}).build(draw, 0)


def test_a_file_that_torch_did_not_write_is_refused(tmp_path, draw):
    (tmp_path / "w.pt").write_text("weights")
    with pytest.raises(BadWeights, match=r"is no file of torch\.save"):
        networks.resolve({**SPEC, "weights": str(tmp_path / "w.pt")}).build(draw, 0)


def test_a_pickle_that_would_run_code_is_not_run(tmp_path, draw):
    class Harm:
        def __reduce__(self):
            return (tmp_path / "ran").write_text, ("ran",)

    torch.save({"fc.weight": Harm()}, tmp_path / "w.pt")
    with pytest.raises(BadWeights, match="more than tensors"):
        networks.resolve({**SPEC, "weights": str(tmp_path / "w.pt")}).build(draw, 0)
    assert not (tmp_path / "ran").exists()


def test_a_missing_file_is_refused_when_the_suite_is_read():
    with pytest.raises(BadParameters, match=r"'nowhere.pt': there is no such file: give the path"):
        networks.resolve({**SPEC, "weights": "nowhere.pt"})


def test_the_key_has_the_content_and_not_the_path(path, tmp_path):
    copied = tmp_path / "copy.pt"
    copied.write_bytes(path.read_bytes())
    one, same = (networks.resolve({**SPEC, "weights": str(file)}) for file in (path, copied))
    assert one.identity() == same.identity()
    assert str(path) not in str(one.identity())
    assert one.id.startswith("torchvision[batch_norm=frozen,model=resnet18,normalize=none,weights=w.pt@")
    torch.save({"fc.bias": torch.zeros(3)}, copied)
    assert networks.resolve({**SPEC, "weights": str(copied)}).identity() != one.identity()


def test_a_record_names_the_file_and_finds_it_again(path):
    recipe = networks.resolve({**SPEC, "weights": str(path)})
    assert networks.resolve(recipe.resolved()) == recipe


def test_another_file_at_the_path_is_not_trained_under_the_old_key(path, draw):
    recipe = networks.resolve({**SPEC, "weights": str(path)})
    torch.save(resnet18(num_classes=10).state_dict(), path)
    with pytest.raises(BadWeights, match="put that file back"):
        recipe.build(draw, 0)
    with pytest.raises(BadParameters, match=f"{recipe.weights_sha256[:12]}… was asked for"):
        networks.resolve(recipe.resolved())


def test_finished_runs_are_shown_where_the_file_is_gone(path, draw):
    resolved = networks.resolve({**SPEC, "weights": str(path)}).resolved()
    path.unlink()
    recipe = networks.resolve(resolved)
    assert recipe.files() == ()
    with pytest.raises(BadWeights, match="no such file on this machine"):
        recipe.build(draw, 0)


def test_untrained_means_without_the_weights(path, trained, draw):
    network = networks.resolve({**SPEC, "weights": str(path)}).untrained(draw, 0)
    assert not torch.equal(network.features.conv1.weight, trained.conv1.weight)


def test_a_digest_without_a_file_is_refused():
    with pytest.raises(BadParameters, match="weights_sha256 is of a file"):
        networks.resolve({**SPEC, "weights_sha256": "0" * 64})
    assert weights.digest("nowhere.pt", "0" * 64) == "0" * 64
