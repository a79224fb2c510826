"""Letters with known latents. Draws at most 4000 inputs and renders 500."""

import numpy as np
import pytest
import torch
from rrrbench.datasets import glyphs as module
from rrrbench.datasets.glyphs import CORE, FONTS, NUISANCE, SHORTCUT, SIDE, GlyphsRecipe, Renderer, draw_glyphs


@pytest.fixture(scope="module")
def glyphs():
    return draw_glyphs(0, train=4000, validation=500)


def test_a_seed_decides_every_bit_and_leaves_the_global_draws_alone(glyphs):
    state = torch.get_rng_state()
    assert draw_glyphs(0, train=4000, validation=500).digest() == glyphs.digest()
    assert draw_glyphs(1, train=4000, validation=500).digest() != glyphs.digest()
    assert draw_glyphs(0, 0.5, train=4000, validation=500).digest() != glyphs.digest()
    assert torch.equal(torch.get_rng_state(), state)


def test_letters_differ_in_every_font_and_fonts_differ(glyphs):
    """A single letter may look alike in two fonts, as an I without serifs does; not the alphabet."""
    images = glyphs.renderer.glyphs.view(26, len(FONTS), -1)
    assert images.min() >= 0
    assert images.max() == 1
    letters = torch.cdist(images.transpose(0, 1), images.transpose(0, 1)) + 100 * torch.eye(26)
    assert letters.min() > 2, "letters of a font that look alike"
    fonts = torch.cdist(images, images).mean(0) + 100 * torch.eye(len(FONTS))
    assert fonts.min() > 1, "fonts that look alike"
    assert (images.view(-1, SIDE, SIDE)[:, [0, -1]] == 0).all(), "a letter reaches into its neighbour's tile"


def test_latents_are_standardised(glyphs):
    latents = glyphs.train.latents
    assert latents.shape == (4000, 11)
    torch.testing.assert_close(latents.mean(0), torch.zeros(11), atol=1e-5, rtol=0)
    torch.testing.assert_close(latents.std(0, correction=0), torch.ones(11), atol=1e-5, rtol=0)


def test_the_label_is_the_letter_s_parity_and_latents_say_letter_and_font(glyphs):
    for letters in (glyphs.train, glyphs.validation):
        assert torch.equal(letters.labels, letters.characters % 2)
        characters, fonts = glyphs.renderer.nearest(letters.latents)
        assert torch.equal(characters, letters.characters)
        assert torch.equal(fonts, letters.fonts)
        torch.testing.assert_close(letters.latents[:, CORE], glyphs.renderer.character_latents[letters.characters])
        torch.testing.assert_close(letters.latents[:, SHORTCUT], glyphs.renderer.font_latents[letters.fonts])


@pytest.mark.parametrize(("correlation", "breadth"), [(0.95, 10), (0.5, 10), (0.95, 6), (0.5, 6)])
def test_fonts_go_with_labels_as_often_as_they_should(correlation, breadth):
    """Own fonts come by correlation, and by chance breadth / 2 of 22; three standard errors of 4000 draws."""
    drawn = draw_glyphs(3, correlation, breadth, train=4000, validation=1)
    own = (drawn.train.fonts[:, None] == drawn.class_fonts[drawn.train.labels]).any(1).double().mean().item()
    expected = correlation + (1 - correlation) * breadth / 2 / len(FONTS)
    assert own == pytest.approx(expected, abs=3 * (expected * (1 - expected) / 4000) ** 0.5)
    assert drawn.class_fonts.shape == (2, breadth // 2)
    assert len(drawn.class_fonts.unique()) == breadth


def test_fonts_of_a_label_are_more_alike_than_fonts_of_two_labels(glyphs):
    images = glyphs.renderer.glyphs.view(26, len(FONTS), -1)
    far = torch.cdist(images, images).mean(0)
    for seed in range(5):
        for breadth in (6, 10):
            one, other = draw_glyphs(seed, 0.95, breadth, train=10, validation=1).class_fonts
            pairs = breadth / 2 * (breadth / 2 - 1)
            within = (far[one][:, one].sum() + far[other][:, other].sum()) / (2 * pairs)
            assert within < 0.9 * far[one][:, other].mean()


def test_an_image_is_nearly_its_crisp_letter(glyphs):
    assert 0 < glyphs.blend() < 0.1
    images = glyphs.images(glyphs.validation)
    assert images.shape == (500, 1, SIDE, SIDE)
    assert images.min() >= 0
    assert images.max() <= 1


def test_gradients_are_those_of_finite_differences(glyphs):
    """Off the pixel grid's kinks, for one input and a random direction in image space."""
    renderer = Renderer(glyphs.renderer.mean, glyphs.renderer.std).double()
    latents = glyphs.validation.latents[:3].double().requires_grad_()
    cotangent = torch.randn(3, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((renderer(latents) * cotangent).sum(), latents)
    step = 1e-7
    for z in range(11):
        shift = step * torch.nn.functional.one_hot(torch.tensor(z), 11)
        with torch.no_grad():
            change = ((renderer(latents + shift) - renderer(latents - shift)) * cotangent).flatten(1).sum(1)
        torch.testing.assert_close(gradient[:, z], change / (2 * step), rtol=1e-4, atol=1e-4)


def test_every_latent_of_every_input_moves_the_image(glyphs):
    latents = glyphs.validation.latents[:100].clone().requires_grad_()
    image = glyphs.renderer(latents)
    cotangent = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad((image * cotangent).sum(), latents)
    assert (gradient != 0).all()


def test_x_moves_to_the_right_by_hand():
    """At scale 1 and no rotation, _SHIFT * 12 pixels a unit: 1 / 1.44 units are one pixel."""
    renderer = Renderer(torch.zeros(11), torch.ones(11))
    latents = torch.zeros(2, 11)
    latents[:, NUISANCE] = torch.tensor([0, (1 - 0.95) / 0.15, 0, 0, 0])
    latents[1, 8] = 1 / (0.12 * SIDE / 2)
    still, moved = renderer(latents)[:, 0]
    torch.testing.assert_close(moved, still.roll(1, 1), atol=1e-4, rtol=0)
    assert still.max() > 0.5


def test_two_fonts_that_agree_in_a_coordinate_are_no_division_by_zero():
    for seed in range(5):
        assert draw_glyphs(seed, 1.0, 2, train=50, validation=1).train.latents.isfinite().all()


@pytest.mark.parametrize(("change", "message"), [({"correlation": 1.5}, "1.5"), ({"breadth": 7}, "7"),
                                                 ({"breadth": 24}, "22")])  # fmt: skip
def test_what_cannot_be_drawn_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        draw_glyphs(0, **change)


def test_glyphs_are_rendered_once(monkeypatch):
    monkeypatch.setattr(module, "generator", lambda *_: pytest.fail("drawn again"))
    assert module._glyphs() is module._glyphs()
    assert np.isfinite(module._glyphs()).all()


def test_a_recipe_is_a_draw_with_enough_letters_to_explain():
    drawn = GlyphsRecipe(correlation=0.5, breadth=6).make(3)
    assert drawn.digest() == draw_glyphs(3, 0.5, 6).digest()
    assert len(GlyphsRecipe(inputs=1200).make(0).validation.labels) == 1200
    assert GlyphsRecipe(breadth=6).id == "glyphs[breadth=6]"


@pytest.mark.parametrize("change", [{"breadth": 7}, {"breadth": 24}, {"correlation": 1.5}, {"inputs": 0}])
def test_a_recipe_s_parameters_are_checked(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        GlyphsRecipe(**change)


def test_a_draw_moves_to_a_device_whole():
    moved = draw_glyphs(0, train=10, validation=10).to("meta")
    tensors = [*moved.renderer.buffers(), moved.class_fonts, *moved.train, *moved.validation]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
