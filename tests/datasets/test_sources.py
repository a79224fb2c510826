import gzip
import os
import time
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rrrbench.datasets import make, sources
from rrrbench.datasets.sources import MissingData, data_root, hold_out, load
from sklearn.datasets import load_digits

real_mnist = pytest.mark.skipif(
    not (Path(os.environ.get("RRRBENCH_DATA", "nowhere")) / "MNIST" / "raw").is_dir(),
    reason="RRRBENCH_DATA has no MNIST",
)


def bilinear(image, row, column):
    """Pixel (row, column) of 28x28 in rational arithmetic, from the definition."""

    def weights(i):
        centre = min(max((i + Fraction(1, 2)) * 8 / 28 - Fraction(1, 2), 0), 7)
        return [(k, 1 - abs(centre - k)) for k in range(8) if abs(centre - k) < 1]

    value = sum(int(image[r, c]) * wr * wc for r, wr in weights(row) for c, wc in weights(column))
    return int(value * 255 / 16 + Fraction(1, 2))


def test_digits_are_all_1797_upsampled_exactly():
    base = load("digits")
    assert base.train_inputs.shape == (1297, 1, 28, 28)
    assert base.test_inputs.shape == (500, 1, 28, 28)
    images = load_digits().images[:3]
    expected = [[[bilinear(image, r, c) for c in range(28)] for r in range(28)] for image in images]
    np.testing.assert_array_equal(sources._upsample(images.astype(np.int64)), expected)
    labels = np.concatenate([base.train_labels, base.test_labels])
    assert np.bincount(labels).tolist() == np.bincount(load_digits().target).tolist()


def test_a_base_is_read_once_and_cannot_be_written_to():
    base = load("digits")
    assert load("digits") is base
    with pytest.raises(ValueError, match="read-only"):
        base.train_inputs[0] = 0


def test_hold_out_keeps_the_order_and_takes_a_tenth():
    base = load("digits")
    train, validation = hold_out(base, None, np.random.default_rng(0))
    assert len(validation) == 129
    assert (np.diff(train) > 0).all()
    assert (np.diff(validation) > 0).all()
    assert sorted([*train, *validation]) == list(range(1297))


def test_the_data_root_is_the_environments_else_a_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("RRRBENCH_DATA", str(tmp_path))
    assert data_root() == tmp_path
    monkeypatch.delenv("RRRBENCH_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_root() == tmp_path / "rrrbench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data_root() == Path.home() / ".cache" / "rrrbench"


def test_missing_data_names_the_files_and_both_ways_out(monkeypatch, tmp_path):
    def offline(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setenv("RRRBENCH_DATA", str(tmp_path))
    monkeypatch.setattr("torchvision.datasets.MNIST", offline)
    write_idx(tmp_path / "MNIST" / "raw" / "train-labels-idx1-ubyte.gz", np.zeros(3, np.uint8))
    with pytest.raises(MissingData, match="no route to host") as error:
        load("mnist")
    for part in ("train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz", "Put the files there", "run once online"):
        assert part in str(error.value)
    assert "train-labels" not in str(error.value)


def test_compressed_or_extracted_idx_files_are_read_in_place(monkeypatch, tmp_path):
    monkeypatch.setenv("RRRBENCH_DATA", str(tmp_path))
    folder = tmp_path / "FashionMNIST" / "raw"
    images, labels = np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28), np.array([3, 9], dtype=np.uint8)
    for part, ending in (("train", ".gz"), ("t10k", "")):
        write_idx(folder / f"{part}-images-idx3-ubyte{ending}", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte{ending}", labels)
    before = sorted(folder.iterdir())
    base = load("fashion-mnist")
    np.testing.assert_array_equal(base.train_inputs[:, 0], images)
    np.testing.assert_array_equal(base.test_inputs[:, 0], images)
    assert base.test_labels.tolist() == [3, 9]
    assert sorted(folder.iterdir()) == before


def test_cifar10_is_turned_channels_first(monkeypatch, tmp_path):
    images = np.arange(4 * 32 * 32 * 3, dtype=np.uint8).reshape(4, 32, 32, 3)

    def stand_in(root, train, download):
        return SimpleNamespace(data=images if train else images[:2], targets=[9, 1, 2, 3] if train else [4, 5])

    monkeypatch.setenv("RRRBENCH_DATA", str(tmp_path))
    monkeypatch.setattr("torchvision.datasets.CIFAR10", stand_in)
    base = load("cifar10")
    np.testing.assert_array_equal(base.train_inputs.transpose(0, 2, 3, 1), images)
    assert base.train_labels.tolist() == [9, 1, 2, 3]
    assert len(base.test_inputs) == 2


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "labels.gz"
    write_idx(path, np.zeros(100, np.uint8))
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(ValueError, match=r"labels\.gz is damaged"):
        sources._read_idx(path)


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">i4").tobytes()
    content = header + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.mark.parametrize("channels", [1, 3])
def test_npz_round_trip(npz, channels):
    base = load(npz(channels=channels))
    with np.load(npz(channels=channels).removeprefix("npz:")) as arrays:
        images = arrays["x_test"].reshape(20, 12, 12, channels)
        np.testing.assert_array_equal(base.test_inputs.transpose(0, 2, 3, 1), images)
        np.testing.assert_array_equal(base.train_labels, arrays["y_train"])
    assert base.classes == 10


def test_npz_floats_are_rounded_to_whole_levels(npz):
    pixels = np.array([0, 0.5, 1, 0.001])  # 127.5 rounds to even, 0.255 to 0
    base = load(npz(x_test=np.broadcast_to(pixels[:, None, None], (4, 12, 12)), y_test=np.arange(4)))
    assert base.test_inputs[:, 0, 0, 0].tolist() == [0, 128, 255, 0]


def test_a_relative_npz_is_found_here_or_in_the_data_root(npz, tmp_path, monkeypatch):
    npz()
    monkeypatch.setenv("RRRBENCH_DATA", str(tmp_path))
    assert len(load("npz:own.npz").test_labels) == 20
    monkeypatch.delenv("RRRBENCH_DATA")
    monkeypatch.chdir(tmp_path)
    assert len(load("npz:own.npz").test_labels) == 20
    with pytest.raises(MissingData, match=r"npz:other\.npz is missing: looked for"):
        load("npz:other.npz")


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"x_test": None}, "has no x_test; it has"),
        ({"x_train": np.zeros((60, 9), np.uint8)}, r"x_train has shape \(60, 9\), expected \(n, height, width\)"),
        ({"x_train": np.zeros((60, 3, 12, 12), np.uint8)}, r"expected \(n, height, width\)"),
        ({"x_test": np.zeros((20, 12, 11), np.uint8)}, "x_train and x_test differ in shape"),
        ({"x_train": np.full((60, 12, 12), 255.0)}, r"ranges over \[255, 255\], expected floats in \[0, 1\]"),
        ({"x_train": np.full((60, 12, 12), np.nan)}, r"ranges over \[nan, nan\]"),
        ({"x_train": np.zeros((60, 12, 12), np.int64)}, "x_train is int64, expected uint8"),
        ({"y_train": np.zeros(59, np.int64)}, r"y_train is int64 of shape \(59,\), expected integers of shape \(60,\)"),
        ({"y_train": np.zeros(60)}, "y_train is float64"),
        ({"y_train": np.full(60, -1)}, "y_train has a label -1"),
        ({"y_train": np.zeros(60, int), "y_test": np.zeros(20, int)}, "every label is 0"),
    ],
)
def test_an_npz_that_does_not_fit_is_refused(npz, replaced, message):
    with pytest.raises(ValueError, match=message):
        load(npz(**replaced))


@real_mnist
def test_real_mnist_renders_70000():
    base = load("mnist")
    assert (len(base.train_labels), len(base.test_labels)) == (60_000, 10_000)
    assert base.train_labels[:5].tolist() == [5, 0, 4, 1, 9]  # the official order
    start = time.perf_counter()
    dataset = make("decoy", 0, base="mnist")
    print(f"60,000 + 5 x 10,000 inputs rendered in {time.perf_counter() - start:.2f} s")
    assert len(dataset.train) + len(dataset.validation) == 60_000
    assert len(dataset.test("random")) == 10_000
