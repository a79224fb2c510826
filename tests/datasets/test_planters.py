"""The laws of planters, and of the recipe that composes them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from fooled import DEFAULTS, OTHERS, accuracies, of_erm
from rendering import assert_share
from rrrbench.datasets import planted
from rrrbench.datasets.base import draw_shortcuts, generator
from rrrbench.datasets.composed import Composed
from rrrbench.datasets.planter import Canvas, planters
from rrrbench.datasets.recipe import datasets, parsed
from rrrbench.datasets.registry import BadParameters
from rrrbench.datasets.sources import MissingData, hold_out, load, outlined

SPECS = [*DEFAULTS, {"name": "patch", "place": "anywhere", "opacity": 0.5}]
FEW, VALUES = 60, 10


@pytest.fixture(params=SPECS, ids=lambda spec: planters.resolve(spec).id)
def planter(request):
    return planters.resolve(request.param)


@cache
def dataset(*specs, seed=0, **parameters):
    return composed(*specs, **parameters).make(seed)


def composed(*specs, **parameters) -> Composed:
    return datasets.resolve({"name": "planted", "planters": "+".join(specs), **parameters})


def ground(planter):
    """Clean images to paint on, and where their objects are."""
    images = np.repeat(load("digits").test_inputs[:FEW], 3, axis=1)
    images = planter.ground(images, generator(0, "places"))
    return images, outlined("digits", images)


def painted(planter, values):
    images, objects = ground(planter)
    return planter.paint(Canvas(images, objects, np.broadcast_to(values, FEW), VALUES, generator(0, "places")))


def test_an_image_without_a_value_is_as_it_was(planter):
    images, masks = painted(planter, -1)
    np.testing.assert_array_equal(images, ground(planter)[0])
    assert not masks.any()


def test_the_mask_is_where_values_differ_and_does_not_tell_the_value(planter):
    clean, _ = ground(planter)
    before, differs = clean.copy(), np.zeros((FEW, 1, 28, 28), dtype=bool)
    masks = painted(planter, 0)[1]
    for value in range(VALUES):
        images, mask = painted(planter, value)
        differs |= (images != clean).any(1, keepdims=True)
        np.testing.assert_array_equal(mask, masks)
    np.testing.assert_array_equal(clean, before)
    assert not (differs & ~masks).any()
    alike = masks & ~differs
    assert not alike[clean.max(1, keepdims=True) < 255].any()  # white ink on white is not seen


def test_the_value_can_be_read_from_the_pixels(planter):
    images = [painted(planter, value)[0] for value in range(VALUES)]
    for a in range(VALUES):
        for b in range(a):
            assert (images[a] != images[b]).any((1, 2, 3)).all(), (a, b)


def test_each_image_shows_its_own_value(planter):
    values = generator(1, "values").integers(-1, VALUES, FEW)
    images, masks = painted(planter, values)
    for value in range(-1, VALUES):
        rows = values == value
        alone, alone_masks = painted(planter, value)
        np.testing.assert_array_equal(images[rows], alone[rows])
        np.testing.assert_array_equal(masks[rows], alone_masks[rows])


def test_a_value_goes_with_its_class_as_often_as_asked(planter):
    spec = {"correlation": 0.6, "told": True}
    draw = datasets.resolve({"name": "planted", "planters": [planter.model_copy(update=spec)]}).make(0)
    for split in (draw.train, draw.validation, draw.test("aligned")):
        assert_share(split.shortcuts == split.labels, 0.6 + 0.4 / VALUES)
    assert_share(draw.test("random").shortcuts == draw.test("random").labels, 1 / VALUES)


def test_without_the_shortcut_the_image_is_the_bases(planter):
    draw, base = datasets.resolve({"name": "planted", "planters": [planter]}).make(0), load("digits")
    train, _ = hold_out(base, None, generator(0, "split"))
    for part, split, images in (
        ("test", draw.test("clean"), base.test_inputs),
        ("train", draw.clean_train(), base.train_inputs[train]),
    ):
        expected = planter.ground(images, generator(0, f"{part}/places/{planter.name}"))
        np.testing.assert_array_equal(split.inputs, np.broadcast_to(expected, split.inputs.shape))
        assert (planter.name == "half") != (expected is images)
        assert not split.masks.any()


def test_core_masks_are_the_object_outside_opaque_masks(planter):
    draw = datasets.resolve({"name": "planted", "planters": [planter]}).make(0)
    clean, aligned = draw.test("clean"), draw.test("aligned")
    assert torch.equal(clean.core, (clean.inputs > 25).any(1, keepdim=True))
    covered = aligned.masks if planter.opaque else torch.zeros_like(aligned.masks)
    assert torch.equal(aligned.core, clean.core & ~covered)


def test_a_stroke_is_the_core():
    aligned = dataset("stroke").test("aligned")
    assert torch.equal(aligned.masks, aligned.core)


@pytest.mark.parametrize("shape", ["word", "ruler"])
def test_white_on_white_is_refused(shape):
    with pytest.raises(BadParameters, match=r"overlay cannot be seen on the base and half in \d% of the images"):
        dataset("half", f"overlay(shape={shape})")


@pytest.mark.parametrize("spec", ["tag", "overlay(shape=ruler)"])
def test_white_on_white_paper_is_refused(spec, npz):
    paper = np.full((60, 28, 28), 255, np.uint8)
    paper[:, 10:18, 10:18] = np.arange(60, dtype=np.uint8)[:, None, None]
    with pytest.raises(BadParameters, match=r"cannot be seen on the base in 100% of the images"):
        dataset(spec, base=npz(side=28, classes=3, name="paper", x_train=paper, x_test=paper[:20]))


@pytest.mark.parametrize(("classes", "values"), [(k, v) for k in range(2, 21) for v in range(2, k)])
def test_reversed_speaks_against_most_classes_however_many_share_a_value(classes, values):
    own = np.arange(classes) % values
    turned = draw_shortcuts("reversed", np.arange(classes), own, generator(0, "none"))
    assert (turned == own).mean() < 0.5


@pytest.mark.parametrize("own", [[1, 0, 0, 0, 0], [0, 0, 0, 1], [0, 1, 2, 1, 0]])
def test_reversed_speaks_against_every_class_where_mirroring_would_not(own):
    turned = draw_shortcuts("reversed", np.arange(len(own)), np.array(own), generator(0, "none"))
    assert (turned != own).all()


def test_reversed_speaks_against_the_class_where_classes_share_values(npz):
    base = npz(side=28, classes=3, name="three")
    draw = datasets.resolve({"name": "planted", "base": base, "planters": [{"name": "patch", "values": 2}]}).make(0)
    split = draw.test("reversed")
    assert draw.class_shortcuts.tolist() == [0, 1, 0]
    assert (split.shortcuts != draw.class_shortcuts[split.labels]).all()


def test_fewer_values_are_shared_by_classes():
    draw = dataset("patch(values=2)")
    assert draw.class_shortcuts.tolist() == [0, 1] * 5
    assert torch.equal(draw.train.shortcuts, draw.train.labels % 2)


# Two planters at once.


def test_one_planters_draws_are_its_own():
    alone, first, second, other = (
        dataset(*specs).test("random")
        for specs in (["overlay"], ["overlay", "tint"], ["tint", "overlay"], ["tint(correlation=0.5)", "overlay"])
    )
    for split in (first, second, other):
        assert torch.equal(split.planted["overlay"], alone.planted["overlay"])
    ink = alone.masks
    assert torch.equal(first.inputs.amax(1, keepdim=True)[~ink], second.inputs.amax(1, keepdim=True)[~ink])


def test_planters_are_independent_where_neither_follows_the_class():
    values = dataset("patch", "overlay", "wave").test("random").planted
    assert list(values) == ["patch", "overlay", "wave"]
    for a, b in (("patch", "overlay"), ("patch", "wave"), ("overlay", "wave")):
        assert_share(values[a] == values[b], 1 / VALUES)


def test_each_has_its_own_correlation():
    train = dataset("patch(correlation=0.9)", "overlay(correlation=0.5)").train
    assert_share(train.planted["patch"] == train.labels, 0.9 + 0.1 / VALUES)
    assert_share(train.planted["overlay"] == train.labels, 0.5 + 0.5 / VALUES)


@pytest.mark.parametrize(
    "specs", [("background", "overlay"), ("tint", "patch"), ("half", "stroke"), ("wave", "stroke")]
)
def test_one_planter_is_varied_while_the_other_stays(specs):
    draw = dataset(*specs)
    aligned, everything = draw.test("aligned"), draw.test("random")
    for name in specs:
        (other,) = set(specs) - {name}
        split = draw.test(f"random_{name}")
        assert torch.equal(split.planted[name], everything.planted[name])
        assert torch.equal(split.planted[other], aligned.planted[other])
        changed = (split.inputs != aligned.inputs).any(1).flatten(1).any(1)
        assert torch.equal(changed, split.planted[name] != aligned.planted[name])
        assert not ((split.inputs != aligned.inputs) & ~aligned.masks).any()


def trained_as(recipe, value):
    """The first training images, all with one value of the first planter."""
    base = load(recipe.base)
    train, _ = hold_out(base, None, generator(0, "split"))
    rendering = planted._Rendering(recipe, recipe.painters(), base, 0)
    split = rendering.split("train", "aligned", base.train_inputs[train], base.train_labels[train], value=value)
    return split.inputs[:FEW].numpy()


def untold(spec, **more):
    """The spec of a planter whose mask is told to nobody."""
    inner = ",".join(f"{name}={value}" for name, value in {"told": False, **more}.items())
    return spec.replace(")", f",{inner})") if ")" in spec else f"{spec}({inner})"


PAIRS = [("patch", "overlay"), ("patch", "overlay(shape=ruler)"), ("patch", "overlay(shape=watermark)")]
PAIRS += [
    ("background", "patch"),
    ("half", "patch"),
    ("tint(told=True)", "patch"),
    ("overlay(shape=plaster)", "patch"),
]
PAIRS = [PAIRS[0], *(pytest.param(*pair, marks=pytest.mark.long) for pair in PAIRS[1:])]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_in_training_all_that_a_value_changes_lies_in_its_told_mask_and_all_of_the_mask_can_change(first, second):
    """By rendering the training images with every value of the first planter, of which alone the mask is told."""
    recipe, other = composed(first, untold(second)), composed(untold(first), second)
    told, over = (own.make(0).train.masks[:FEW].numpy() for own in (recipe, other))
    renderings = [trained_as(recipe, value) for value in range(VALUES)]
    changes = np.logical_or.reduce([(one != renderings[0]).any(1, keepdims=True) for one in renderings])
    assert told.any()
    assert not (changes & ~told).any()
    assert (told & ~changes & ~over).mean() < 0.02  # ink of the object's own colour


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_told_mask_says_nothing_about_the_value_of_a_planter_that_is_painted_later(first, second):
    follows, drawn = (composed(first, untold(second, correlation=c)).make(0).train for c in (1.0, 0.0))
    assert not torch.equal(*(list(train.planted.values())[1] for train in (follows, drawn)))
    assert torch.equal(follows.masks, drawn.masks)


@pytest.mark.parametrize(("specs", "hidden"), [(("patch", "background"), "patch"), (("overlay", "half"), "overlay")])
def test_a_planter_that_would_be_hidden_is_refused(specs, hidden):
    with pytest.raises(BadParameters, match=rf"hides all of {hidden} in \d+% of the images.*name {specs[1]} before"):
        dataset(*specs)


def test_several_planters_have_a_version_of_their_own():
    one, two = (datasets.resolve({"name": "planted", "planters": [*specs]}) for specs in (["patch"], ["patch", "tint"]))
    assert (one.identity()["version"], two.identity()["version"]) == (1, 2)


def test_with_one_planter_there_is_no_environment_of_its_own():
    assert list(dataset("patch").environments) == ["aligned", "random", "conflict", "reversed", "clean"]


def test_masks_in_training_are_those_that_are_told():
    both, first, second, none = (
        dataset(*specs)
        for specs in (
            ["background", "overlay"],
            ["background", "overlay(told=False)"],
            ["background(told=False)", "overlay"],
            ["background(told=False)", "overlay(told=False)"],
        )
    )
    assert torch.equal(first.train.masks | second.train.masks, both.train.masks)
    assert (first.train.masks & second.train.masks).any()  # beside its letters the ground is seen
    assert second.train.masks.any()
    assert not none.train.masks.any()
    for draw in (first, second, none):
        assert torch.equal(draw.test("random").masks, both.test("random").masks)
        assert torch.equal(draw.train.inputs, both.train.inputs)
        assert torch.equal(draw.train.core, both.train.core)


def test_groups_are_those_of_the_first_planter_that_is_told():
    low = "patch(correlation=0.2,told=False)"
    for specs, main in ((["background", low], 0), ([low, "overlay"], 1), ([low, "tint"], 0), (["tint", low], 0)):
        train = dataset(*specs).train
        assert torch.equal(train.shortcuts, [*train.planted.values()][main])


# The recipe.


def test_a_weak_core_is_dim_and_noisy_the_same_in_every_environment():
    draw, plain = dataset("patch", core_contrast=0.5, core_noise=0.2), dataset("patch")
    clean, whole = draw.test("clean"), plain.test("clean").inputs.int()
    noise = clean.inputs.int() - (whole * 128 + 127) // 255
    assert noise.min() == 0
    assert noise.max() == 51
    assert torch.equal(clean.core, plain.test("clean").core)
    outside = ~draw.test("random").masks.expand_as(clean.inputs)
    assert torch.equal(draw.test("random").inputs[outside], clean.inputs[outside])
    assert dataset("patch", core_noise=0.2, seed=1).test("clean").inputs.ne(clean.inputs).any()


@pytest.mark.parametrize("specs", ["patch", "overlay(shape=ruler)+tint(strength=0.2,told=True)", "half"])
def test_an_id_names_planters_and_gives_the_recipe_again(specs):
    recipe = composed(specs, core_contrast=0.5)
    assert recipe.id == f"planted-digits[core_contrast=0.5{f',planters={specs}' * (specs != 'patch')}]"
    assert parsed(recipe.id) == recipe
    assert datasets.resolve(recipe.resolved()) == recipe


def test_a_key_has_what_differs_from_the_defaults():
    assert composed("patch").identity() == {"name": "planted", "version": 1}
    told = composed("tint(told=True)", "patch")
    assert told.identity()["planters"] == [{"name": "tint", "told": True}, {"name": "patch"}]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"planters": ["tints"]}, "no planter is called 'tints'; did you mean tint"),
        ({"planters": [{"name": "tint", "strenght": 0.1}]}, "did you mean strength"),
        ({"planters": []}, "at least 1 item"),
        ({"planters": ["patch", "patch"]}, "patch and patch: environments are called after planters"),
        ({"planters": [{"name": "patch", "size": 15}]}, "15x15 pixels do not fit into corners of 28x28"),
        ({"planters": [{"name": "patch", "size": 29, "place": "fixed"}]}, "do not fit into images of 28x28"),
        ({"planters": [{"name": "patch", "values": 11}]}, "11 values for 10 classes"),
    ],
)
def test_what_cannot_be_planted_is_refused(given, why):
    with pytest.raises((BadParameters, LookupError), match=why):
        datasets.resolve({"name": "planted", **given}).make(0)


def test_a_background_of_photos_shows_a_photo_of_the_values_class(npz):
    scenes = npz(side=32, channels=3, classes=10)
    recipe = datasets.resolve({"name": "planted", "planters": [{"name": "background", "scenes": scenes}]})
    base, draw = load(scenes), recipe.make(0)
    split = draw.test("random")
    for i in range(5):
        ground = ~split.core[i, 0].numpy()
        photos = base.train_inputs[base.train_labels == split.shortcuts[i].item()]
        crops = [photos[:, :, y : y + 28, x : x + 28] for y in range(5) for x in range(5)]
        shown = split.inputs[i].numpy()[:, ground]
        assert any((crop[:, :, ground] == shown).all((1, 2)).any() for crop in crops)
    assert torch.equal(split.masks, ~split.core)
    assert recipe.id == "planted-digits[planters=background(scenes=npz:own)]"
    assert datasets.resolve(recipe.resolved()) == recipe
    assert recipe.files() == (Path(scenes.removeprefix("npz:")),)


@pytest.mark.parametrize(
    ("size", "why"), [({"side": 20, "classes": 10}, "20x20 pixels"), ({"side": 32, "classes": 4}, "4 classes")]
)
def test_photos_that_do_not_fit_behind_the_object_are_refused(npz, size, why):
    scenes = npz(channels=3, **size)
    recipe = datasets.resolve({"name": "planted", "planters": [{"name": "background", "scenes": scenes}]})
    with pytest.raises(BadParameters, match=why):
        recipe.make(0)


def test_a_background_of_photos_that_are_not_there_is_missing_data(tmp_path, monkeypatch):
    monkeypatch.setenv("RRRBENCH_DATA", str(tmp_path))
    recipe = datasets.resolve({"name": "planted", "planters": [{"name": "background", "scenes": "npz:nosuch.npz"}]})
    with pytest.raises(MissingData, match=r"nosuch\.npz"):
        recipe.require()
    with pytest.raises((BadParameters, LookupError), match="no base is called 'cifar11'"):
        composed("background(scenes=cifar11)")


def test_planters_that_need_the_object_refuse_a_base_without(npz):
    own = npz(side=28, channels=3, classes=4)
    for name in ("background", "stroke"):
        with pytest.raises(BadParameters, match=f"{name} paints around or on the object"):
            datasets.resolve({"name": "planted", "base": own, "planters": [name]}).make(0)
    draw = datasets.resolve({"name": "planted", "base": own, "planters": ["tint", "overlay"]}).make(0)
    assert draw.train.core is None


def test_half_refuses_odd_images_and_textures_end(npz):
    with pytest.raises(BadParameters, match="images of height 27 have no halves"):
        datasets.resolve({"name": "planted", "base": npz(side=27), "planters": ["half"]}).make(0)
    eleven = npz(side=28, classes=11, name="eleven")
    with pytest.raises(BadParameters, match="11 classes, but it shows 10 values: give values = 10"):
        datasets.resolve({"name": "planted", "base": eleven, "planters": ["overlay"]}).make(0)
    datasets.resolve({"name": "planted", "base": eleven, "planters": [{"name": "overlay", "values": 10}]}).make(0)


@pytest.mark.slow
@pytest.mark.parametrize("spec", DEFAULTS, ids=lambda spec: planters.resolve(spec).id)
def test_erm_is_fooled(spec):
    """With default parameters, redrawing the shortcut costs an mlp ten points of accuracy, mean of two seeds."""
    measured = accuracies(spec, (0, 1))
    assert measured["aligned"] - measured["random"] >= 0.1


@pytest.mark.slow
@pytest.mark.parametrize("spec", OTHERS, ids=lambda spec: datasets.resolve(spec).id)
def test_erm_is_fooled_by_tables_and_sequences(spec):
    measured = of_erm(spec, (0, 1))
    assert measured["aligned"] - measured["random"] >= 0.1


def test_on_another_device_every_part_of_a_split_is_there():
    moved = dataset("tint", "patch").train.to("meta")
    parts = moved.inputs, moved.labels, moved.masks, moved.shortcuts, moved.core, *moved.planted.values()
    assert {part.device.type for part in parts} == {"meta"}
