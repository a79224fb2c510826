"""Photos as cameras and editors write them, and masks beside them: pixels, orientation, sizes."""

import numpy as np
import pytest
import torch
from photo_folder import save
from PIL import Image
from rrrbench.datasets.photo_files import Photo
from rrrbench.datasets.photos import Photos

RED = np.zeros((8, 8, 3), np.uint8)
RED[..., 0] = 200


def image(file, size=8):
    return Photos([Photo(file, "cat")], size, None, False).images(np.arange(1))[:][0]


def mask(photo, size=8, threshold=None):
    return Photos([photo], size, threshold, False).masks(np.arange(1))[:][0, 0]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK"])
def test_colours_are_the_colours_whatever_the_mode(tmp_path, mode):
    colours = Image.fromarray(RED)
    pixels = colours.quantize(4) if mode == "P" else colours.convert(mode)
    assert pixels.mode == mode
    file = save(tmp_path / ("x.tif" if mode == "CMYK" else "x.png"), pixels)
    assert (image(file).float() - torch.tensor([200.0, 0, 0])[:, None, None]).abs().max() <= 2


@pytest.mark.parametrize(
    ("pixels", "grey"),
    [
        (np.full((8, 8), 200, np.uint8), 200),
        (np.full((8, 8), 200 * 257, np.uint16), 200),
        (np.full((8, 8), True), 255),
        (np.full((8, 8), 65535, np.int32), 255),
    ],
    ids=["8 bits", "16 bits", "1 bit", "32 bits"],
)
def test_grey_has_three_equal_channels(tmp_path, pixels, grey):
    assert (image(save(tmp_path / "x.tif", pixels)) == grey).all()


def test_a_palette_with_transparency_is_read_without_a_warning(tmp_path):
    pixels = Image.fromarray(RED).quantize(4)
    assert (image(save(tmp_path / "x.png", pixels, transparency=b"\x00\xff"))[0] > 190).all()


def test_floating_point_pixels_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"x\.tif has floating-point pixels"):
        image(save(tmp_path / "x.tif", np.full((8, 8), 0.5, np.float32)))


def turned(pixels, turn):
    """A photo whose EXIF says how it is to be turned."""
    picture = Image.fromarray(pixels)
    picture.getexif()[0x0112] = turn
    return picture


def test_a_photo_is_turned_as_its_exif_says_and_its_mask_lies_on_it_either_way(tmp_path):
    pixels = np.zeros((8, 12, 3), np.uint8)
    pixels[:3, :3] = 255  # top left in the file, top right as it is shown
    file = save(tmp_path / "x.png", turned(pixels, 6), exif=turned(pixels, 6).getexif())
    shown = image(file, size=8)[0]
    straight = Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_270)
    assert torch.equal(shown, image(save(tmp_path / "y.png", straight))[0])
    raw = save(tmp_path / "raw.png", pixels[..., 0])
    seen = save(tmp_path / "seen.png", straight.convert("L"))
    assert torch.equal(mask(Photo(file, "cat", mask=raw)), shown == 255)
    assert torch.equal(mask(Photo(file, "cat", mask=seen)), shown == 255)
    boxed = Photo(file, "cat", boxes=((5, 0, 8, 3),))
    assert torch.equal(mask(boxed), shown == 255)


def test_a_mask_of_another_size_is_laid_over_its_photo(tmp_path):
    file = save(tmp_path / "x.png", np.zeros((30, 40, 3), np.uint8))
    large = np.zeros((30, 40), np.uint8)
    large[:15, 10:25] = 255
    expected = mask(Photo(file, "cat", mask=save(tmp_path / "large.png", large)), size=10)
    small = save(tmp_path / "small.png", large[::3, ::3].copy())  # 10 x 14: 13.3 rounded
    doubled = save(tmp_path / "doubled.png", large.repeat(2, 0).repeat(2, 1))
    for other in (small, doubled):
        assert (mask(Photo(file, "cat", mask=other), size=10) != expected).float().mean() <= 0.05
    assert expected.sum() > 20


@pytest.mark.parametrize(
    ("drawn", "share"),
    [
        (np.zeros((8, 8), np.uint8), 0),
        (np.full((8, 8), 255, np.uint8), 1),
        (np.eye(8, dtype=np.uint8), 1 / 8),
        (np.eye(8) > 0, 1 / 8),
        (np.eye(8).astype(np.uint16) * 65535, 1 / 8),
        ((np.eye(8)[..., None] * [0, 90, 0]).astype(np.uint8), 1 / 8),
        ((np.eye(8)[..., None] * [255, 255, 255, 255]).astype(np.uint8), 1 / 8),
        ((np.ones((8, 8, 4)) * [255, 255, 255, 1] * np.eye(8)[..., None]).astype(np.uint8), 1 / 8),
    ],
    ids=["black", "white", "0 and 1", "1 bit", "16 bits", "green", "rgba", "alpha"],
)
def test_masks_are_black_and_another_value(tmp_path, drawn, share):
    photo = Photo(save(tmp_path / "x.png", RED), "cat", mask=save(tmp_path / "mask.png", drawn))
    assert mask(photo).double().mean() == share


def rgba(colour, alpha) -> np.ndarray:
    """An image of colours and alpha, each a number for all pixels or a number a pixel."""
    channels = np.broadcast_to(np.asarray(colour)[..., None], (8, 8, 3)), np.broadcast_to(alpha, (8, 8))[..., None]
    return np.concatenate(channels, -1).astype(np.uint8)


EYE = 255 * np.eye(8, dtype=np.uint8)


def with_palette() -> Image.Image:
    """Several blacks, to be told apart by their transparency."""
    image = Image.fromarray(np.eye(8, dtype=np.uint8)).convert("P")
    image.putpalette([0, 0, 0] * 256)
    return image


IN_TRANSPARENCY = {
    "rgba": (rgba(0, EYE), {}),
    "rgba, a hole": (rgba(0, 255 - EYE), {}),
    "rgba, faint": (rgba(0, EYE // 255), {}),
    "rgba, white that is transparent": (rgba(EYE, 255 - EYE), {}),
    "rgba, all transparent": (rgba(EYE, 0), {}),
    "grey and alpha": (Image.fromarray(rgba(0, EYE)).convert("LA"), {}),
    "palette": (with_palette(), {"transparency": 0}),
    "a palette's alpha": (with_palette(), {"transparency": b"\x00\xff"}),
    "grey, white is transparent": (EYE, {"transparency": 255}),
    "16 bits, white is transparent": (np.eye(8).astype(np.uint16) * 65535, {"transparency": 65535}),
    "colours, white is transparent": (rgba(EYE, 255)[..., :3], {"transparency": (255, 255, 255)}),
}


@pytest.mark.parametrize(("drawn", "options"), IN_TRANSPARENCY.values(), ids=IN_TRANSPARENCY)
@pytest.mark.parametrize("threshold", [None, 128])
def test_a_mask_whose_shape_is_in_the_transparency_of_black_is_refused(tmp_path, drawn, options, threshold):
    file = save(tmp_path / "mask.png", drawn, **options)
    photo = Photo(save(tmp_path / "x.png", RED), "cat", mask=file)
    with pytest.raises(ValueError, match=r"mask\.png is black wherever it is opaque.*Save it in grey"):
        mask(photo, threshold=threshold)


def test_the_way_out_of_a_mask_in_the_transparency_is_right(tmp_path):
    file = save(tmp_path / "mask.png", rgba(0, EYE))
    Image.open(file).convert("RGBA").getchannel("A").save(file)
    assert torch.equal(mask(Photo(save(tmp_path / "x.png", RED), "cat", mask=file)), torch.eye(8) > 0)


@pytest.mark.parametrize(
    ("drawn", "options", "share"),
    [
        (rgba(255, EYE), {}, 1 / 8),
        (rgba(EYE, 255), {}, 1 / 8),
        (rgba(EYE, 128), {}, 1 / 8),
        (rgba(EYE, EYE), {}, 1 / 8),
        (rgba(0, 0), {}, 0),
        (rgba(255, 0), {}, 0),
        (rgba(0, 128), {}, 0),
        (EYE, {"transparency": 0}, 1 / 8),
        (np.eye(8).astype(np.uint16) * 65535, {"transparency": 0}, 1 / 8),
        (rgba(EYE, 255)[..., :3], {"transparency": (0, 0, 0)}, 1 / 8),
    ],
)
def test_a_mask_with_transparency_is_what_is_seen_on_black(tmp_path, drawn, options, share):
    photo = Photo(save(tmp_path / "x.png", RED), "cat", mask=save(tmp_path / "mask.png", drawn, **options))
    assert mask(photo).double().mean() == share


def test_a_heatmap_in_the_transparency_needs_a_threshold(tmp_path):
    heat = np.arange(64).reshape(8, 8) * 4
    photo = Photo(save(tmp_path / "x.png", RED), "cat", mask=save(tmp_path / "mask.png", rgba(255, heat)))
    with pytest.raises(ValueError, match=r"grey levels 0, 4, 8, 12, 16 \.\.\..*mask_threshold.*alpha channel"):
        mask(photo)
    assert mask(photo, threshold=128).tolist() == (heat >= 128).tolist()


def test_a_mask_with_grey_edges_needs_a_threshold(tmp_path):
    levels = np.tile(np.array([0, 0, 60, 127, 128, 200, 255, 255], np.uint8), (8, 1))
    photo = Photo(save(tmp_path / "x.png", RED), "cat", mask=save(tmp_path / "mask.png", levels))
    with pytest.raises(ValueError, match=r"mask\.png has the grey levels 0, 60, 127, 128, 200 \.\.\."):
        mask(photo)
    assert mask(photo, threshold=128)[0].tolist() == [False] * 4 + [True] * 4


def test_two_levels_of_which_none_is_black_need_a_threshold(tmp_path):
    levels = np.where(np.eye(8) > 0, 2, 1).astype(np.uint8)
    photo = Photo(save(tmp_path / "x.png", RED), "cat", mask=save(tmp_path / "mask.png", levels))
    with pytest.raises(ValueError, match=r"the grey levels 1, 2, expected black"):
        mask(photo)


def test_a_box_outside_its_photo_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"x\.png is 8 x 8 pixels, but has a box 0 0 9 4"):
        mask(Photo(save(tmp_path / "x.png", RED), "cat", boxes=((0, 0, 9, 4),)))


def test_a_file_that_is_called_an_image_and_runs_a_program_is_not_opened(tmp_path):
    (tmp_path / "x.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n")
    with pytest.raises(ValueError, match=r"x\.png is no image"):
        image(tmp_path / "x.png")
