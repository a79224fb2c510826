"""Networks as people have them, on photos as people have them: evaluated, and trained in a suite."""

from pathlib import Path

import numpy as np
import pytest
import rrrbench as rb
import torch
from photo_memory import peak
from PIL import Image
from rrrbench.benchmark.running.session import Session
from rrrbench.benchmark.suite.loading import parse_suite
from rrrbench.datasets.image_folder import recipe_of
from torch import nn

CLASSES, SIZE = ("cat", "dog"), 32


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """80 noisy photos a class, each with a patch in its corner: red for cats, blue for dogs."""
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        for kind in ("images", "masks"):
            (root / kind / name).mkdir(parents=True)
        for i in range(80):
            pixels = rng.integers(60, 120, (SIZE, SIZE, 3), dtype=np.uint8)
            pixels[8:24, 8:24, 1] += np.uint8(40 * label)
            mask = np.zeros((SIZE, SIZE), np.uint8)
            top, left = rng.integers(0, 2, 2) * (SIZE - 6)
            pixels[top : top + 6, left : left + 6] = [(255, 0, 0), (0, 0, 255)][label]
            mask[top : top + 6, left : left + 6] = 255
            Image.fromarray(pixels).save(root / "images" / name / f"{i}.png")
            Image.fromarray(mask).save(root / "masks" / name / f"{i}.png")
    return root


class Patch(nn.Module):
    """Looks at the brightest red and the brightest blue alone; `blind` looks at the middle's green."""

    def __init__(self, blind=False):
        super().__init__()
        self.blind, self.layer = blind, nn.Linear(1, 1)

    def forward(self, images):
        seen = images[:, 1, 8:24, 8:24].mean((1, 2)) - 0.43 if self.blind else images[:, 2].amax((1, 2)) - 0.75
        return torch.stack([-seen, seen], 1) * 20


@pytest.mark.long
@pytest.mark.parametrize(("blind", "flips", "follows"), [(False, 1.0, 1.0), (True, 0.0, 0.0)])
def test_a_network_that_looks_at_the_patch_flips_on_made_up_twins_and_a_blind_network_does_not(
    photos, blind, flips, follows
):
    report = rb.evaluate(Patch(blind), rb.image_folder(photos, size=SIZE, test=0.8))
    assert report.metrics["accuracy/observed"] == 1.0
    assert report.metrics["flip_rate/exchanged"] == flips
    assert report.metrics["follow_rate/exchanged"] == follows
    assert report.metrics["flip_rate/elsewhere"] == 0.0
    assert report.metrics["accuracy/exchanged"] == 1 - flips
    assert report.counted["flip_rate/exchanged"] == 128
    assert not any("/random" in name or name == "flip_rate" for name in report.metrics)
    assert any("made up" in warning for warning in report.warnings)
    assert len(report.flips) == 128 * flips
    assert report.figure().axes
    said = report.predictions
    assert len(said) == 128
    assert (said["photo"].map(lambda file: CLASSES.index(Path(file).parent.name)) == said["label"]).all()
    assert (said["predicted"] == said["label"]).all()
    assert said["flips"].sum() == 128 * flips


@pytest.mark.long
def test_masks_that_are_too_small_are_warned_of(photos, tmp_path):
    for mask in (photos / "masks").rglob("*.png"):
        pixels = np.asarray(Image.open(mask)).copy()
        rows, columns = np.nonzero(pixels)
        pixels[:] = 0
        pixels[rows.min() + 1 : rows.max() - 1, columns.min() + 1 : columns.max() - 1] = 255
        (tmp_path / mask.parent.name).mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / mask.parent.name / mask.name)
    report = rb.evaluate(Patch(), rb.image_folder(photos / "images", masks=tmp_path, size=SIZE, test=0.8))
    assert any("masks may be too small" in warning for warning in report.warnings)


def test_without_masks_accuracy_is_measured_and_reliance_is_said_not_to_be(photos):
    report = rb.evaluate(Patch(), rb.image_folder(photos / "images", size=SIZE))
    assert report.metrics["accuracy/observed"] == 1.0
    assert not any(name.startswith("flip_rate") for name in report.metrics)
    assert any("no test input has a mask" in warning for warning in report.warnings)


def test_a_folder_may_be_named_by_its_path_alone(photos):
    assert recipe_of(str(photos)) == recipe_of(photos) == rb.image_folder(photos)


@pytest.mark.long
def test_a_folder_may_be_named_by_an_id_with_its_size_and_masks_and_is_kept(photos, tmp_path, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    written = f"image-folder[root={photos}/images,mask_root={photos}/masks,size={SIZE}]"
    assert recipe_of(written) == rb.image_folder(photos / "images", masks=photos / "masks", size=SIZE)
    network = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 2))
    report = rb.evaluate(network, written, name="theirs")
    assert report.counted["flip_rate/exchanged"] == 32
    record = report.log(tmp_path)
    assert record.dataset.startswith("image-folder-")
    assert (tmp_path / "records" / record.run_key[:2] / f"{record.run_key}.json").is_file()


@pytest.mark.slow
def test_a_leaderboard_has_it_beside_a_sweep_on_the_same_photos(photos, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = rb.image_folder(photos, size=SIZE)
    rb.evaluate(Patch(), folder, name="theirs").log(tmp_path)
    runs = rb.sweep(folder, "mlp", ["erm"], seeds=1, training={"epochs": 1, "batch_size": 16}, home=tmp_path, log=False)
    for rule in ("knee", "val_swap", "oracle"):
        board = runs.leaderboard(rule).set_index("network")
        assert board.loc["theirs", "mitigation"] == "trained elsewhere"
        assert board.loc["theirs", "accuracy/observed"] == 1.0


@pytest.mark.slow
def test_memory_does_not_grow_with_the_photos():
    """By less than half of what 900 more photos of 224 x 224 are as floats; peaks of equal runs differ by 100 MiB.

    Of 900 photos already more than the 128 MiB are decoded that are kept.
    """
    assert peak(1800, test=0.8)[1] - peak(900, test=0.8)[1] < 900 * 3 * 224**2 * 4 / 2


def suite_of(photos, network, epochs=1):
    return parse_suite(
        {
            "name": "photos",
            "seeds": [0],
            "sweeps": [
                {
                    "dataset": {"name": "image-folder", "root": str(photos), "size": SIZE},
                    "network": network,
                    "training": {"epochs": epochs, "batch_size": 16},
                    "mitigations": [{"mitigation": "erm"}, {"mitigation": "rrr", "strengths": [1.0]}],
                }
            ],
        },
        "photos",
    )


VIT = """
from torch import nn

class ViT(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, stride=8)
        self.encoder = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.head = nn.Linear(16, classes)

    def forward(self, images):
        return self.head(self.encoder(self.patches(images).flatten(2).transpose(1, 2)).mean(1))

def build(features, classes):
    return ViT(classes)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vit", "resnet18"])
def test_rrr_trains_it_on_photos_and_evaluate_gives_the_record_s_numbers(photos, tmp_path, monkeypatch, kind):
    from rrrbench.datasets import own_code

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with own_code.temporary():
        if kind == "vit":
            (tmp_path / "small_vit.py").write_text(VIT)
            own_code.load([tmp_path / "small_vit.py"])
            network = {"name": "module", "build": "small_vit:build"}
        else:
            network = {"name": "torchvision", "model": "resnet18", "batch_norm": "frozen"}
        suite = suite_of(photos, network).model_copy(update={"save_models": True})
        session = Session(suite, tmp_path / "home")
        assert not session.run().failed
        (stack, _) = suite.stacks()
        for record in session.records.values():
            assert record.status == "finished", record.error
            draw = stack.dataset.make(0)
            module = stack.network.build(draw, 0)
            module.load_state_dict(torch.load(session.store.model_path(record.run_key), weights_only=True))
            report = rb.evaluate(module, stack.dataset)
            for name, value in report.metrics.items():
                assert value == pytest.approx(record.metrics[name], rel=1e-4, abs=1e-6), name
