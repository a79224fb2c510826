"""Photos of a folder: its layouts, its parts, its classes, and what is refused."""

import os
import shutil
import sys

import numpy as np
import pytest
import rrrbench
import torch
from photo_folder import CLASSES, save, write_photos
from PIL import Image
from rrrbench.datasets.image_folder import image_folder
from rrrbench.datasets.on_disk import OnDisk
from rrrbench.datasets.recipe import make
from rrrbench.datasets.registry import BadParameters
from rrrbench.datasets.sources import MissingData

GREY = np.full((16, 16), 90, np.uint8)


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path / "photos")


def test_photos_and_masks_become_a_dataset(photos):
    draw = image_folder(photos, size=16).make(0)
    assert draw.id == "image-folder-photos[size=16]"
    assert draw.classes == 3
    assert draw.features == (3, 16, 16)
    assert (len(draw.train), len(draw.validation), len(draw.test("observed"))) == (42, 6, 12)
    assert list(draw.environments) == ["observed", "exchanged", "elsewhere"]
    assert draw.class_shortcuts.tolist() == [0, 1, 2]
    for split in (draw.train, draw.validation, *draw.environments.values()):
        assert isinstance(split.inputs, OnDisk)
        assert isinstance(split.masks, OnDisk)
        assert split.inputs.dtype == torch.uint8
    observed = draw.test("observed")
    inside = observed.inputs[:][observed.masks[:].expand(-1, 3, -1, -1)].view(12, -1)
    assert torch.equal(inside[:, 0], (80 * (observed.labels + 1)).to(torch.uint8))
    assert (inside == inside[:, :1]).all()
    assert observed.shown.all()
    assert (observed.shortcuts == -1).all()  # nobody has said a value
    exchanged = draw.test("exchanged")
    inside = exchanged.inputs[:][observed.masks[:].expand(-1, 3, -1, -1)].view(12, -1)
    assert torch.equal(inside[:, 0], (80 * (exchanged.shortcuts + 1)).to(torch.uint8))
    assert (exchanged.shortcuts != observed.labels).all()


def test_from_python_and_from_a_suite_it_is_the_same(photos):
    recipe = rrrbench.image_folder(photos, size=16)
    assert recipe.make(3).digest() == make("image-folder", 3, root=str(photos), size=16).digest()


def test_the_seed_draws_the_parts_and_every_class_is_in_each(photos):
    first, again, other = (image_folder(photos, size=16, test=0.25).make(seed) for seed in (0, 0, 1))
    assert first.digest() == again.digest() != other.digest()
    for draw in (first, other):
        assert torch.bincount(draw.test("observed").labels).tolist() == [5, 5, 5]
        assert torch.bincount(draw.validation.labels).tolist() == [2, 2, 2]
    assert set(first.test("observed").labels[:6].tolist()) == {0, 1, 2}  # the first inputs are looked at


def test_torchvisions_layout_with_masks_in_a_folder_beside_it(tmp_path, monkeypatch):
    write_photos(tmp_path, images="photos", masks="masks")
    monkeypatch.chdir(tmp_path)
    draw = image_folder("photos", masks="masks", size=16).make(0)
    assert draw.train.shown.all()
    from torchvision.datasets import ImageFolder

    theirs = ImageFolder("photos")
    ours = image_folder("photos", masks="masks", size=16).photos()
    assert [str(photo.file.relative_to(tmp_path)) for photo in ours] == [path for path, _ in theirs.samples]
    assert sorted({photo.label for photo in ours}) == theirs.classes


def test_pixels_are_those_of_torchvisions_transforms(tmp_path):
    from torchvision.transforms import CenterCrop, Compose, PILToTensor, Resize

    rng = np.random.default_rng(0)
    for name in CLASSES:
        for i, (height, width) in enumerate([(40, 31), (25, 64), (33, 33), (90, 47)]):
            save(tmp_path / name / f"{i}.png", rng.integers(0, 256, (height, width, 3), np.uint8))
    draw = image_folder(tmp_path, size=24, test=0.25, validation=0.25).make(0)
    prepared = Compose([Resize(24), CenterCrop(24), PILToTensor()])
    theirs = {prepared(Image.open(file)).numpy().tobytes() for file in tmp_path.rglob("*.png")}
    every = [draw.train, draw.validation, draw.test("observed")]
    assert {row.numpy().tobytes() for split in every for row in split.inputs[:]} == theirs


def test_parts_in_subfolders_are_taken_as_they_are(tmp_path):
    for part, each in (("train", 6), ("val", 2), ("test", 3)):
        write_photos(tmp_path, images=f"images/{part}", masks=f"masks/{part}", each=each)
    one, other = (image_folder(tmp_path, size=16).make(seed) for seed in (0, 1))
    for draw in (one, other):
        assert (len(draw.train), len(draw.validation), len(draw.test("observed"))) == (18, 6, 9)
        assert draw.test("observed").shown.all()
    shutil.rmtree(tmp_path / "images/test")
    drawn = image_folder(tmp_path, size=16).make(0)
    assert (len(drawn.train), len(drawn.validation), len(drawn.test("observed"))) == (18 - 6, 6, 6)


def test_a_missing_mask_is_not_known_and_a_black_one_says_there_is_no_shortcut(photos):
    for name in CLASSES:
        for i in range(10):
            os.remove(photos / "masks" / name / f"{i:02}.png")
    draw = image_folder(photos, size=16, test=0.5).make(0)
    observed = draw.test("observed")
    assert torch.equal(observed.known, observed.shown)
    assert list(draw.environments) == ["observed", "exchanged", "elsewhere"]
    for name in CLASSES:
        for i in range(10):
            save(photos / "masks" / name / f"{i:02}.png", np.zeros((16, 16), np.uint8))
    draw = image_folder(photos, size=16, test=0.5).make(0)
    assert draw.test("observed").known.all()
    assert list(draw.environments) == ["observed", "exchanged", "removed", "added", "elsewhere"]
    assert torch.equal(draw.test("added").shown, ~draw.test("observed").shown)


def test_without_masks_there_are_no_twins(photos):
    shutil.rmtree(photos / "masks")
    draw = image_folder(photos, size=16).make(0)
    assert list(draw.environments) == ["observed"]
    assert not draw.train.known.any()


@pytest.mark.parametrize("ending", ["_mask.png", "_segmentation.png", ".png.png", "_Mask.PNG"])
def test_masks_may_be_called_after_their_photo(photos, ending):
    for file in [*(photos / "masks").rglob("*.png")]:
        file.rename(file.with_name(file.stem + ending))
    assert image_folder(photos, size=16).make(0).train.shown.all()


def test_masks_may_lie_beside_the_photos_if_it_is_said(tmp_path):
    write_photos(tmp_path, images="", masks="")
    for file in [*tmp_path.rglob("*.png")]:
        save(file.with_name(f"{file.stem}_mask.png"), np.full((16, 16), 255, np.uint8))
    with pytest.raises(ValueError, match=r"00_mask\.png looks like the mask of another photo.*mask_root"):
        image_folder(tmp_path, size=16).make(0)
    recipe = image_folder(tmp_path, masks=tmp_path, size=16)
    assert len(recipe.photos()) == 60
    assert recipe.make(0).train.shown.all()


def test_masks_of_the_object_leave_the_rest_as_the_shortcut(photos):
    plain, inverted = (image_folder(photos, size=16, masks_show=what).make(0) for what in ("shortcut", "object"))
    assert torch.equal(plain.train.masks[:], ~inverted.train.masks[:])


def test_boxes_and_values_come_from_a_table(photos):
    rows = ["file,y,place,box,part"]
    for k, name in enumerate(CLASSES):
        for i in range(20):
            part = ("train", "val", "test")[0 if i < 12 else 1 if i < 15 else 2]
            rows.append(f"{name}/{i:02}.png,{10 * k},{'land' if (i + k) % 4 else 'water'},{i % 8} 2 9 12.5,{part}")
    (photos / "all.csv").write_text("\n".join(rows))
    columns = {"path": "file", "label": "y", "shortcut": "place", "boxes": "box", "split": "part"}
    draw = image_folder(photos / "images", table=photos / "all.csv", columns=columns, size=16).make(0)
    assert draw.classes == 3
    assert (len(draw.train), len(draw.validation), len(draw.test("observed"))) == (36, 9, 15)
    assert draw.class_shortcuts.tolist() == [0, 0, 0]  # land, the commonest of each class
    assert torch.equal(draw.minority, draw.train.shortcuts == 1)
    observed, exchanged = draw.test("observed"), draw.test("exchanged")
    assert observed.masks[:][:, 0, 2:13, 8].all()
    assert not observed.masks[:][:, :, 13:].any()
    assert not observed.masks[:][:, :, :, 9:].any()
    assert torch.equal(exchanged.shortcuts, 1 - observed.shortcuts)


def test_a_replaced_photo_is_another_stamp_content_and_digest(photos):
    recipe = image_folder(photos, size=16)
    before = recipe.stamps(), recipe.content(recipe.stamps()[0]), recipe.make(0).digest()
    assert (recipe.stamps(), recipe.content(recipe.stamps()[0]), recipe.make(0).digest()) == before
    save(photos / "images/cat/00.png", GREY)
    after = recipe.stamps(), recipe.content(recipe.stamps()[0]), recipe.make(0).digest()
    assert not set(before) & set(after)
    save(photos / "masks/cat/00.png", GREY)
    assert recipe.make(0).digest() != after[2]
    assert len(recipe.stamps()) == 1


def test_a_folder_that_is_gone_has_no_files(photos):
    recipe = image_folder(photos, size=16)
    shutil.rmtree(photos)
    assert recipe.files() == recipe.stamps() == ()
    with pytest.raises(MissingData, match=r"root = '.*photos' is no folder: looked for"):
        recipe.make(0)


def test_labels_of_folders_are_in_torchvisions_order_and_numbers_of_a_table_in_their_own(tmp_path):
    for name in ("9", "10", "2"):
        for i in range(10):
            save(tmp_path / name / f"{name}-{i}.png", np.full((16, 16), int(name), np.uint8))
    folders = image_folder(tmp_path, size=16).make(0).train
    assert folders.labels.tolist() == [{10: 0, 2: 1, 9: 2}[int(grey)] for grey in folders.inputs[:][:, 0, 0, 0]]
    lines = [f"{file.relative_to(tmp_path)},{file.parent.name}" for file in sorted(tmp_path.rglob("*.png"))]
    (tmp_path / "all.csv").write_text("\n".join(["path,label", *lines]))
    table = image_folder(tmp_path, table="all.csv", size=16).make(0).train
    assert table.labels.tolist() == [{2: 0, 9: 1, 10: 2}[int(grey)] for grey in table.inputs[:][:, 0, 0, 0]]


def break_empty_class(photos):
    (photos / "images/empty").mkdir()
    (photos / "images/empty/notes.txt").write_text("photos follow")


def break_one_class(photos):
    for name in ("cat", "dog"):
        shutil.rmtree(photos / "images" / name)


def break_no_class(photos):
    for file in [*(photos / "images").rglob("*.png")]:
        file.rename(photos / "images" / f"{file.parent.name}{file.name}")
    for name in CLASSES:
        (photos / "images" / name).rmdir()


def break_link_to_file(photos):
    save(photos.parent / "secret.png", GREY)
    (photos / "images/cat/link.png").symlink_to(photos.parent / "secret.png")


def break_link_to_folder(photos):
    write_photos(photos.parent / "elsewhere")
    (photos / "images/more").symlink_to(photos.parent / "elsewhere/images/cat")


def break_stems(photos):
    save(photos / "images/cat/00.jpg", GREY)


def break_two_masks(photos):
    save(photos / "masks/cat/00_mask.png", GREY)


def break_mask_names(photos):
    for i, file in enumerate([*(photos / "masks").rglob("*.png")]):
        file.rename(file.with_name(f"other{i}.png"))


def break_all_masks(photos):
    for file in (photos / "masks").rglob("*.png"):
        file.unlink()


def break_image(photos):
    for file in (photos / "images/cat").iterdir():
        file.write_bytes(file.read_bytes()[:60])


def break_not_an_image(photos):
    for file in (photos / "images/cat").iterdir():
        file.write_text("<html>404</html>")


def break_empty_file(photos):
    for file in (photos / "images/cat").iterdir():
        file.write_bytes(b"")


def break_mask_shape(photos):
    for file in (photos / "masks/cat").iterdir():
        save(file, np.zeros((16, 24), np.uint8))


def break_mask_levels(photos):
    for file in (photos / "masks/cat").iterdir():
        save(file, np.arange(256, dtype=np.uint8).reshape(16, 16))


def break_a_class_of_masks(photos):
    (photos / "masks/cat").rename(photos / "masks/cats")


def break_mask_colours(photos):
    """Object and ruler in one mask, told apart by colours of one brightness."""
    for file in (photos / "masks/cat").iterdir():
        colours = np.zeros((16, 16, 3), dtype=np.uint8)
        colours[:4, :, 0] = colours[8:, :, 1] = 255
        save(file, colours)


@pytest.mark.parametrize(
    ("breaks", "says"),
    [
        (
            break_a_class_of_masks,
            r"masks of no photo in .*images \(\d+, such as .*cats.*photos have no mask: for .*cat",
        ),
        (break_mask_colours, r"has the colours \(0, 255, 0\), \(255, 0, 0\), expected black and another"),
        (break_empty_class, r"images/empty has no image; its files end in \.txt: delete the folder"),
        (break_one_class, r"every photo is of class 'owl': expected two classes"),
        (break_no_class, r"images has no subfolder, and 60 images: put each class's"),
        (break_link_to_file, r"cat/link\.png is a link to .*secret\.png, outside .*: nothing outside"),
        (break_link_to_folder, r"images/more is a link to a folder"),
        (break_stems, r"masks/cat/00\.png could be the mask of .*00\.jpg and of .*00\.png.*00\.jpg\.png"),
        (break_two_masks, r"cat/00\.png has two masks, .*00\.png and .*00_mask\.png"),
        (break_mask_names, r"masks has 60 masks, none of them of a photo in .*images: for .* it would be"),
        (break_all_masks, r"masks has no image, so no photo of .* has a mask: put the masks there"),
        (break_image, r"cat/\d\d\.png is no image or a damaged one \(.*\): copy it again, or remove it"),
        (break_not_an_image, r"cat/\d\d\.png is no image or a damaged one"),
        (break_empty_file, r"cat/\d\d\.png is empty"),
        (break_mask_shape, r"masks/cat/\d\d\.png is 24 x 16, its photo .* 16 x 16 pixels"),
        (break_mask_levels, r"has the grey levels 0, 1, 2, 3, 4 \.\.\., expected black \(0\) and another.*= 128"),
    ],
)
def test_what_does_not_fit_is_an_error_with_its_name_and_a_way_out(photos, breaks, says):
    breaks(photos)
    with pytest.raises(ValueError, match=says):
        image_folder(photos, size=16).make(0).train.in_memory()


def test_labels_that_are_a_quantity_are_refused(photos):
    files = sorted((photos / "images").rglob("*.png"))
    rows = [f"{file.relative_to(photos)},{0.37 * i:.2f}" for i, file in enumerate(files)]
    (photos / "all.csv").write_text("\n".join(["path,label", *rows]))
    says = r"60 photos are of 60 classes, such as 0\.00, 0\.37, 0\.74: .* a quantity, divide it into classes"
    with pytest.raises(ValueError, match=says):
        image_folder(photos, table="all.csv", size=16).make(0)


def test_what_is_no_photo_is_left_out(photos):
    (photos / "images/cat/.DS_Store").write_bytes(b"\0")
    (photos / "images/cat/Thumbs.db").write_bytes(b"\0")
    (photos / "images/.hidden").mkdir()
    save(photos / "images/cat/._00.png", GREY)
    assert len(image_folder(photos, size=16).photos()) == 60


def test_a_link_within_the_folder_is_followed(photos):
    (photos / "images/cat/again.png").symlink_to(photos / "images/cat/00.png")
    assert len(image_folder(photos, size=16).photos()) == 61


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"masks": "nowhere"}, r"mask_root = 'nowhere' is no folder: looked for .*photos/nowhere"),
        ({"table": "all.csv"}, r"table = 'all\.csv' is no file"),
    ],
)
def test_what_is_named_and_is_not_there_is_missing(photos, parameters, says):
    with pytest.raises(MissingData, match=says):
        image_folder(photos, **parameters).make(0)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"sise": 16}, "did you mean size"),
        ({"size": 0}, "size = 0"),
        ({"test": 1.0}, "test = 1.0"),
        ({"columns": {"paht": "x"}}, "columns.paht"),
        ({"mask_threshold": 0}, "mask_threshold = 0"),
        ({"size": 1_000_000}, "size = 1000000"),
        ({"validation": 0.5, "test": 0.6}, r"validation = 0\.5 and test = 0\.6 leave nothing to train on"),
    ],
)
def test_parameters_are_checked(photos, parameters, says):
    with pytest.raises(BadParameters, match=says):
        image_folder(photos, **parameters)


def test_shares_that_leave_nothing_are_an_error(photos):
    with pytest.raises(ValueError, match="no photo is left for validation, of 60 in all"):
        image_folder(photos, size=16, validation=0.01).make(0)


def test_few_photos_are_in_memory_at_once(photos, monkeypatch):
    """Of 60 photos, as many decoded ones are kept as have room; the others are decoded anew each time."""
    module = sys.modules["rrrbench.datasets.photos"]
    decoded, reads = module.decoded, []
    monkeypatch.setattr(module, "decoded", lambda file: reads.append(file) or decoded(file))
    monkeypatch.setattr(module, "KEPT_BYTES", 10 * 3 * 16 * 16)
    recipe = image_folder(photos, size=16)
    inputs = recipe.make(0).train.inputs
    reads.clear()
    once, again = ([inputs[rows] for rows in torch.arange(42).split(10)] for _ in range(2))
    assert torch.equal(torch.cat(once), torch.cat(again))
    reader = sys.modules["rrrbench.datasets.image_folder"]._photos(recipe, recipe.stamps())
    assert reader._images.block.nbytes + reader._masks.block.nbytes <= module.KEPT_BYTES
    assert 0 < len(reader._images.places) == 2 * 42 - len(reads)


def test_masks_of_equal_stems_in_one_folder_are_refused_with_advice_that_works(tmp_path):
    write_photos(tmp_path, masks="nested", classes=("cat", "dog"))
    for mask in sorted((tmp_path / "nested").rglob("*.png")):
        save(tmp_path / "flat" / mask.name, np.asarray(Image.open(mask)))
    says = "put all masks into folders as the photos are, such as .*flat/cat/00.png and .*flat/dog/00.png"
    with pytest.raises(ValueError, match=says):
        image_folder(tmp_path / "images", masks=tmp_path / "flat", size=16).make(0)
    (tmp_path / "flat").rename(tmp_path / "before")
    (tmp_path / "nested").rename(tmp_path / "flat")
    assert image_folder(tmp_path / "images", masks=tmp_path / "flat", size=16).make(0).test("observed").shown.all()
