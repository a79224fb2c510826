import gzip
import io
import os
import pickle
import time
import zipfile
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rrrbench.datasets import make, sources
from rrrbench.datasets.idx import read_idx
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
    images, labels = noise(10, 28, 28), np.arange(10, dtype=np.uint8)
    for part, ending in (("train", ".gz"), ("t10k", "")):
        write_idx(folder / f"{part}-images-idx3-ubyte{ending}", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte{ending}", labels)
    before = sorted(folder.iterdir())
    base = load("fashion-mnist")
    np.testing.assert_array_equal(base.train_inputs[:, 0], images)
    np.testing.assert_array_equal(base.test_inputs[:, 0], images)
    assert base.test_labels.tolist() == list(range(10))
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
        read_idx(path, rank=1)


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path):
        with pytest.raises(ValueError, match="is no regular file: put the idx file there"):
            read_idx(path, rank=1)


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


OWN = np.random.default_rng(1)


def noise(*shape):
    return OWN.integers(0, 256, shape, dtype=np.uint8)


def with_value(array, value):
    """A float copy of images in [0, 1] with a single other value, in image 7."""
    changed = array / 255
    changed[7, 2, 3] = value
    return changed


def labels(of_train, of_test):
    return {"y_train": np.resize(of_train, 60), "y_test": np.resize(of_test, 20)}


BAD_IMAGES = {
    "flat": (noise(60, 144), r"x_train has shape \(60, 144\).*reshape\(-1, 12, 12\)"),
    "flat, not square": (noise(60, 143), "x_train.*reshape flat images"),
    "one axis": (noise(60), r"x_train has shape \(60,\)"),
    "a number": (np.uint8(3), r"x_train has shape \(\)"),
    "channels first": (noise(60, 3, 12, 12), r"x_train.*transpose them to the end: x\.transpose\(0, 2, 3, 1\)"),
    "a grey channel first": (noise(60, 1, 12, 12), "x_train.*transpose"),
    "channels first, floats": (noise(60, 3, 12, 12) / 255, "x_train.*transpose"),
    "with alpha": (noise(60, 12, 12, 4), r"drop the alpha channel, x\[\.\.\., :3\]"),
    "grey with alpha": (noise(60, 12, 12, 2), r"drop the alpha channel, x\[\.\.\., 0\]"),
    "ten bands": (noise(60, 12, 12, 10), "10 channels are not images"),
    "five axes": (noise(60, 2, 12, 12, 3), "x_train has shape.*reshape"),
    "no pixels": (noise(60, 0, 12), "no pixels"),
    "no image": (noise(0, 12, 12), "one image or more"),
    "another side": (noise(60, 12, 11), r"x_train and x_test differ in shape.*\(12, 11, 1\) and \(12, 12, 1\)"),
    "colour, and grey tests": (noise(60, 12, 12, 3), r"differ in shape.*\(12, 12, 3\) and \(12, 12, 1\)"),
    "floats to 255": (noise(60, 12, 12) / 1.0, r"x_train ranges over \[0, 255\].*divide by 255"),
    "half floats to 255": (noise(60, 12, 12).astype(np.float16), "divide by 255"),
    "normalised": (noise(60, 12, 12) / 127.5 - 1, r"x_train ranges over \[-1, 1\].*undo the normalisation"),
    "floats to 65535": (noise(60, 12, 12) * 257.0, "rescale, or use uint8"),
    "a NaN": (with_value(noise(60, 12, 12), np.nan), "1 images have NaN.*the first is image 7"),
    "an infinity": (with_value(noise(60, 12, 12), np.inf), r"ranges over \[0, inf\].*the first is image 7"),
    "a negative infinity": (with_value(noise(60, 12, 12), -np.inf), "the first is image 7"),
    "all NaN": (np.full((60, 12, 12), np.nan), "60 images have NaN.*the first is image 0"),
    "one value just above 1": (with_value(noise(60, 12, 12), 1.001), r"ranges over \[0, 1\.001\]"),
    "divided by 255 twice": (noise(60, 12, 12) / 255**2, "divided by 255 twice"),
    "bytes of 0 and 1": (noise(60, 12, 12) % 2, "x_train is uint8 in 0..255, but its largest value is 1"),
    "truth values": (noise(60, 12, 12) > 99, r"x_train is bool.*x\.astype\(np\.uint8\) \* 255"),
    "64-bit integers": (noise(60, 12, 12).astype(np.int64), r"x_train is int64.*x\.astype\(np\.uint8\)"),
    "16-bit integers": (noise(60, 12, 12).astype(np.uint16), "x_train is uint16.*divide by 257"),
    "signed bytes": (noise(60, 12, 12).astype(np.int8), "x_train is int8"),
    "complex": (noise(60, 12, 12).astype(complex), "x_train is complex128"),
    "file names": (np.array(["a.png"] * 60), "x_train has shape"),
    "texts as pixels": (np.full((60, 12, 12), "3"), "x_train is <U1.*save the images' pixels"),
    "dates": (np.zeros((60, 12, 12), "datetime64[s]"), "x_train is datetime64"),
    "records": (np.zeros((60, 12, 12), [("r", "u1"), ("g", "u1")]), "x_train is"),
    "images of several sizes": (
        np.array([noise(3, 3), noise(4, 4)] * 30, dtype=object),
        "x_train holds Python objects",
    ),
}


@pytest.mark.parametrize("images", BAD_IMAGES)
def test_images_that_do_not_fit_are_refused_with_the_way_out(npz, images):
    array, message = BAD_IMAGES[images]
    with pytest.raises(ValueError, match=message) as error:
        load(npz(x_train=array))
    assert "own.npz" in str(error.value)


def test_test_images_that_are_training_images_are_named(npz, caplog):
    train, test = noise(60, 12, 12), noise(20, 12, 12)
    test[[3, 7]] = train[[9, 0]]
    load(npz(x_train=train, x_test=test))
    assert "own.npz: 2 of 20 test images are training images too" in caplog.text
    assert "test image 3" in caplog.text


@pytest.mark.parametrize("part", ["x_train", "x_test"])
@pytest.mark.parametrize(("value", "message"), [(0, "pixel is 0"), (1.0, "pixel is 255"), (None, "the same")])
def test_images_that_are_all_the_same_are_refused(npz, part, value, message):
    shape = (60 if part == "x_train" else 20, 12, 12)
    same = np.broadcast_to(noise(12, 12), shape) if value is None else np.full(shape, value, type(value))
    with pytest.raises(ValueError, match=f"own.npz: {part}: .*{message}"):
        load(npz(**{part: same.astype(np.uint8) if value == 0 else same}))


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (1, 16, r"x_train ranges over \[0, 255\], x_test ranges over \[0, 15\].*scale x_test as x_train.*255 / 15"),
        (16, 1, r"x_train ranges over \[0, 15\], x_test ranges over \[0, 255\].*scale x_train as x_test"),
        (1, 5, r"x_test ranges over \[0, 51\]"),
    ],
)
def test_parts_of_different_scales_are_refused(npz, train, test, message):
    scaled = {"x_train": _from_black_to_white(60) // train, "x_test": _from_black_to_white(20) // test}
    with pytest.raises(ValueError, match=message) as error:
        load(npz(**scaled))
    assert "own.npz" in str(error.value)


@pytest.mark.parametrize("shades", [15, 16, 31])
def test_few_shades_that_were_saved_as_bytes_are_refused(npz, shades):
    scaled = {f"x_{part}": _from_black_to_white(n).clip(0, shades) for part, n in (("train", 60), ("test", 20))}
    with pytest.raises(ValueError, match=rf"own.npz: x_train, x_test reach {shades} of 255.*Save x / {shades} as fl"):
        load(npz(**scaled))


def test_a_part_may_be_darker_than_the_other(npz):
    load(npz(x_train=_from_black_to_white(60), x_test=_from_black_to_white(20) // 3))


def _from_black_to_white(n):
    images = noise(n, 12, 12)
    images[:, 0, :2] = 0, 255
    return images


BAD_LABELS = {
    "from 1": (labels([1, 2, 3, 4], [1, 2, 3, 4]), r"y_train.*labels are 1\.\.4, expected 0\.\.3: subtract 1"),
    "1 and 2": (labels([1, 2], [1, 2]), "subtract 1"),
    "from 1, the last class in the tests alone": (labels([1, 2], [1, 2, 3]), r"labels are 1\.\.3.*subtract 1"),
    "absent from training": (
        labels([0, 1], [0, 1, 2]), "y_test has the label 2, which y_train has not.*inputs of class 2, or leave.*y_test",
    ),
    "a gap that the tests fill": (labels([0, 2], [0, 1, 2]), "y_test has the label 1, which y_train has not"),
    "a gap": (labels([0, 1, 3], [0, 1, 3]), r"no label is 2, but one is 3; expected 0\.\.2.*searchsorted"),
    "0 and 900": (labels([0, 900], [0, 900]), r"no label is 1, but one is 900; expected 0\.\.1"),
    "2**40": (labels([0, 1, 2**40], [0, 1]), "no label is 2, but one is 1099511627776"),
    "2**63": ({"y_train": np.resize(np.array([0, 2**63], np.uint64), 60)}, "one is 9223372036854775808"),
    "from 5": (labels([5, 6], [5, 6]), "no label is 0, but one is 6"),
    "a gap that starts at 1": (labels([1, 3], [1, 3]), "no label is 0"),
    "an unlabelled input": (labels([0, 1, -1], [0, 1]), "y_train has a label -1.*remove inputs without a label"),
    "an unlabelled test": (labels([0, 1], [0, 1, -100]), "y_test has a label -100"),
    "only 0": (labels([0], [0]), "every label is 0, expected two classes or more"),
    "only 1": (labels([1], [1]), "every label is 1, expected two classes or more"),
    "only 7": (labels([7], [7]), "every label is 7"),
    "training has a single class": (labels([1], [0, 1]), "y_train: every label is 1"),
    "tests have a single class": (labels([0, 1], [0]), "y_test: every label is 0.*sorted by class"),
    "floats": (labels([0.0, 1.0], [0, 1]), r"y_train is float64.*y\.astype\(np\.int64\)"),
    "float NaN": (labels([0.0, np.nan], [0, 1]), "y_train is float64"),
    "truth values": (labels([True, False], [0, 1]), r"y_train is bool.*y\.astype"),
    "names": (labels(["cat", "dog"], [0, 1]), r"y_train is <U3.*return_inverse=True"),
    "bytes": (labels([b"cat", b"dog"], [0, 1]), r"y_train is \|S3.*return_inverse=True"),
    "names in the tests": (labels([0, 1], ["cat", "dog"]), "y_test is <U3"),
    "objects": (labels(np.array(["cat", 1], dtype=object), [0, 1]), "y_train holds Python objects.*class numbers"),
    "one-hot": ({"y_train": np.eye(10, dtype=int)[np.arange(60) % 10]}, r"y_train is int64.*y\.argmax\(axis=1\)"),
    "one-hot floats": ({"y_train": np.eye(10)[np.arange(60) % 10]}, r"y\.argmax\(axis=1\)"),
    "a column": ({"y_train": np.arange(60)[:, None] % 10}, r"y\.ravel\(\)"),
    "a row": ({"y_train": np.arange(60)[None] % 10}, r"shape \(1, 60\), expected integers of shape \(60,\)"),
    "one too few": ({"y_train": np.arange(59) % 10}, r"y_train is int64 of shape \(59,\).*\(60,\)"),
    "one too many": ({"y_test": np.arange(21) % 10}, r"y_test is int64 of shape \(21,\).*\(20,\)"),
    "none": ({"y_test": np.zeros(0, int)}, r"y_test.*shape \(0,\).*\(20,\)"),
    "a single number": ({"y_train": np.int64(3)}, r"y_train is int64 of shape \(\)"),
    "those of the other part": ({"y_train": np.arange(20) % 10, "y_test": np.arange(60) % 10}, "same split"),
    "dates": ({"y_train": np.zeros(60, "datetime64[s]")}, "y_train is datetime64"),
}  # fmt: skip


@pytest.mark.parametrize("given", BAD_LABELS)
def test_labels_that_do_not_fit_are_refused_with_the_way_out(npz, given):
    arrays, message = BAD_LABELS[given]
    with pytest.raises(ValueError, match=message) as error:
        load(npz(**arrays))
    assert "own.npz" in str(error.value)


@pytest.mark.parametrize(
    "arrays",
    [labels([0, 1, 2], [0, 1]), labels(np.uint8([0, 1]), [0, 1])],
    ids=["absent from the tests", "bytes"],
)
def test_classes_may_be_absent_from_the_tests(npz, arrays):
    assert load(npz(**arrays)).classes == 1 + max(int(part.max()) for part in arrays.values())


@pytest.mark.parametrize("name", ["masks_train", "shortcuts_test", "groups", "X_train", "x_val", "arr_0"])
def test_an_array_that_nothing_would_use_is_refused_by_name(npz, name):
    with pytest.raises(ValueError, match=f"own.npz has {name}, which nothing would use"):
        load(npz(**{name: np.zeros(60)}))


@pytest.mark.parametrize("absent", ["x_train", "y_train", "x_test", "y_test"])
def test_an_array_that_is_missing_is_named(npz, absent):
    with pytest.raises(ValueError, match=f"own.npz has no {absent}; it has"):
        load(npz(**{absent: None}))


def test_members_without_the_ending_of_arrays_are_named(npz, tmp_path):
    with np.load(npz().removeprefix("npz:")) as arrays, zipfile.ZipFile(tmp_path / "bare.npz", "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array)
            archive.writestr(name if name == "y_train" else f"{name}.npy", content.getvalue())
    with pytest.raises(ValueError, match=r"bare\.npz has members y_train without the ending \.npy.*np\.savez"):
        load(f"npz:{tmp_path / 'bare.npz'}")


def saved(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def good_npz():
    return saved(x_train=noise(60, 12, 12), x_test=noise(20, 12, 12), **labels([0, 1], [0, 1]))


def single_array():
    stream = io.BytesIO()
    np.save(stream, noise(60, 12, 12))
    return stream.getvalue()


def zipped(**members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return stream.getvalue()


def announcing(shape, dtype="|u1"):
    """An array file whose header announces more than is there."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue() + bytes(100)


def with_flipped_pixel():
    content = bytearray(good_npz())
    content[400] ^= 255
    return bytes(content)


REST = dict.fromkeys(["y_train", "x_test", "y_test"], announcing((100,)))
BROKEN_FILES = {
    "empty": (b"", "is empty: save four arrays"),
    "a single array": (single_array(), r"is a single array as np\.save writes it"),
    "truncated": (good_npz()[:5000], "is truncated or damaged"),
    "without its end": (good_npz()[:-30], "is truncated or damaged"),
    "a pickle": (pickle.dumps({"x_train": 1}), "is a pickle, which is never opened"),
    "a table": (b"label,pixel0\n1,0\n", "is no npz"),
    "a picture": (b"\x89PNG\r\n\x1a\n", "is no npz"),
    "one byte": (b"P", "is no npz"),
    "zeros": (bytes(1000), "is no npz"),
    "an empty archive": (zipped(), "has no x_train, y_train, x_test, y_test; it has no array"),
    "a damaged pixel": (with_flipped_pixel(), "truncated or damaged"),
    "empty members": (zipped(x_train=b"", y_train=b"", x_test=b"", y_test=b""), "x_train is no readable array"),
    "texts as members": (zipped(x_train=b"hallo", **REST), "x_train is no readable array"),
    "more announced than there": (
        zipped(x_train=announcing((2**20, 2**20)), **REST),
        "x_train is uint8 of shape.*but 100 bytes are there",
    ),
    "negative sizes": (zipped(x_train=announcing((-1, 12, 12)), **REST), "x_train"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN_FILES)
def test_a_file_that_is_no_npz_is_told_so(tmp_path, kind):
    content, message = BROKEN_FILES[kind]
    (tmp_path / "own.npz").write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        load(f"npz:{tmp_path / 'own.npz'}")
    assert "own.npz" in str(error.value)


@pytest.mark.parametrize("seed", range(60))
def test_a_file_with_damaged_bytes_is_read_or_named(tmp_path, seed):
    draws, content = np.random.default_rng(seed), bytearray(good_npz())
    headers = [i for i in range(len(content)) if content[i : i + 6] == b"\x93NUMPY"]
    start = headers[seed % 4] if seed % 2 else 0
    for place in draws.integers(start, start + 128 if seed % 2 else len(content), 3):
        content[place] = draws.integers(0, 256)
    (tmp_path / "own.npz").write_bytes(content)
    try:
        load(f"npz:{tmp_path / 'own.npz'}")
    except ValueError as error:
        assert "own.npz" in str(error)  # noqa: PT017 - a byte that nothing reads does no harm


@pytest.mark.parametrize("wrong", ["channels", "labels", "tests"])
def test_no_array_is_inflated_where_a_header_says_enough(npz, monkeypatch, wrong):
    arrays = {
        "channels": {"x_train": noise(60, 3, 12, 12)},
        "labels": {"y_test": np.zeros(19)},
        "tests": {"x_test": noise(20, 9, 9)},
    }[wrong]
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: pytest.fail("inflated an array"))
    with pytest.raises(ValueError, match=r"own\.npz"):
        load(npz(**arrays))


@pytest.mark.parametrize(("memory", "largest"), [(10_000, "x_train"), (2_000, "x_train"), (0, "x_train")])
def test_arrays_larger_than_the_memory_are_refused_before_they_are_inflated(npz, monkeypatch, memory, largest):
    monkeypatch.setattr("rrrbench.datasets.npz.memory_bytes", lambda: memory)
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: pytest.fail("inflated an array"))
    with pytest.raises(
        ValueError, match=rf"own\.npz: the arrays take .* GB, of these {largest} .*: save fewer or smaller"
    ):
        load(npz())


def test_a_small_file_that_would_inflate_to_terabytes_is_refused(tmp_path):
    """A member's size is in the archive's directory, which anybody may write: 2 TB here, in some kilobytes."""
    n = 2**31
    content = {"x_train": (n, 32, 32), "y_train": (n,), "x_test": (n, 32, 32), "y_test": (n,)}
    with zipfile.ZipFile(tmp_path / "own.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, shape in content.items():
            archive.writestr(f"{name}.npy", header := announcing(shape, "|u1")[:-100])
            info = archive.getinfo(f"{name}.npy")
            info.file_size = len(header) + int(np.prod(shape, dtype=object))
    with pytest.raises(ValueError, match=r"own\.npz: the arrays take 4.4e\+03 GB, of these x_train 2.2e\+03 GB"):
        load(f"npz:{tmp_path / 'own.npz'}")


@pytest.mark.parametrize("inputs", [2, 8, 9])
def test_too_few_inputs_to_validate_on_are_refused(npz, inputs):
    few = {"x_train": noise(inputs, 12, 12), "y_train": np.arange(inputs) % 2, "y_test": np.arange(20) % 2}
    with pytest.raises(ValueError, match=f"a tenth of {inputs} training inputs.*validation = 1"):
        make("decoy", 0, base=npz(**few))
    assert len(make("decoy", 0, base=npz(**few), validation=1).validation) == 1


def test_a_replaced_npz_is_read_anew_in_the_same_process(npz):
    first = load(npz()).train_inputs
    second = load(npz(x_train=noise(60, 12, 12))).train_inputs
    assert (first != second).any()


def idx_bytes(array, kind=8, rank=None, sizes=None):
    sizes = np.array(array.shape if sizes is None else sizes, dtype=">i4")
    return bytes([0, 0, kind, len(sizes) if rank is None else rank]) + sizes.tobytes() + array.tobytes()


IMAGES, LABELS = noise(40, 28, 28), np.arange(40, dtype=np.uint8) % 10
BAD_IDX = {
    "labels fewer": ({"train-labels-idx1": idx_bytes(LABELS[:30])}, "has 40 images, .*train-labels.* has 30 labels"),
    "labels more": ({"t10k-labels-idx1": idx_bytes(np.resize(LABELS, 50))}, "has 40 images, .*t10k.* has 50 labels"),
    "tests of another side": ({"t10k-images-idx3": idx_bytes(noise(40, 14, 14))}, r"differ in shape.*\(14, 14\)"),
    "floats": ({"train-images-idx3": idx_bytes(IMAGES.astype(">f4"), 13)}, "its values are float32, expected uint8"),
    "signed": ({"train-images-idx3": idx_bytes(IMAGES, 9)}, "its values are int8"),
    "an unknown type": ({"train-images-idx3": idx_bytes(IMAGES, 77)}, "of the unknown type 77"),
    "wrong magic": ({"train-images-idx3": b"\1\2" + idx_bytes(IMAGES)[2:]}, "it begins with"),
    "labels as images": ({"train-images-idx3": idx_bytes(LABELS)}, "its rank is 1, expected 3"),
    "images as labels": ({"train-labels-idx1": idx_bytes(IMAGES)}, "its rank is 3, expected 1"),
    "colour images": ({"train-images-idx3": idx_bytes(noise(40, 28, 28, 3))}, "its rank is 4, expected 3"),
    "a size of -1": (
        {"train-images-idx3": idx_bytes(IMAGES, sizes=(-1, 28, 28))},
        r"\(-1, 28, 28\), expected pos",
    ),
    "a size of 0": ({"train-images-idx3": idx_bytes(IMAGES, sizes=(0, 28, 28))}, "expected positive"),
    "absurd sizes": ({"train-images-idx3": idx_bytes(IMAGES, sizes=(2**31 - 1,) * 3)}, "far more than it can hold"),
    "truncated": ({"train-images-idx3": idx_bytes(IMAGES)[:-9]}, "31360 bytes, 31351 are there"),
    "too long": ({"train-images-idx3": idx_bytes(IMAGES) + b"x"}, "31360 bytes, more are there"),
    "truncated header": ({"train-images-idx3": idx_bytes(IMAGES)[:9]}, "ends within its header"),
    "empty": ({"train-labels-idx1": b""}, "it begins with b''"),
    "a web page": ({"train-labels-idx1": b"<!DOCTYPE html>"}, "it begins with b'<!DO'"),
    "labels of 200": ({"train-labels-idx1": idx_bytes(LABELS + 195)}, r"has a label 195, expected 0\.\.9"),
    "labels from 1": ({"t10k-labels-idx1": idx_bytes(LABELS + 1)}, r"has a label 10, expected 0\.\.9"),
    "a class left out": ({"train-labels-idx1": idx_bytes(np.where(LABELS == 3, 4, LABELS))}, "has the label 3, which"),
    "pixels of 0 and 1": ({"train-images-idx3": idx_bytes(IMAGES // 128)}, "largest value is 1, nearly black"),
    "black images": ({"t10k-images-idx3": idx_bytes(IMAGES * 0)}, "every pixel is 0"),
    "images of another scale": ({"t10k-images-idx3": idx_bytes(IMAGES // 16)}, "trained on one scale and tested on"),
    "one class": ({"train-labels-idx1": idx_bytes(LABELS * 0 + 3)}, "every label is 3"),
}


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("kind", BAD_IDX)
def test_idx_files_that_do_not_fit_are_refused(monkeypatch, tmp_path, kind, ending):
    bad, message = BAD_IDX[kind]
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    good = {f"{part}-{of}": idx_bytes(array) for part in ("train", "t10k")
            for of, array in (("images-idx3", IMAGES), ("labels-idx1", LABELS))}  # fmt: skip
    for name, content in (good | bad).items():
        (folder / f"{name}-ubyte{ending}").write_bytes(gzip.compress(content) if ending else content)
    monkeypatch.setenv("RRRBENCH_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=message) as error:
        load("mnist")
    assert f"{next(iter(bad))}-ubyte{ending}" in str(error.value)


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
