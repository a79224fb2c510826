"""torchvision's classifiers: layers that compute what torchvision computes, trained as a plain loop trains them."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
import torch
import torchvision
from rrrbench.benchmark.conformance.network_laws import TRAINING, plain_loop
from rrrbench.benchmark.conformance.violation import same_numbers
from rrrbench.benchmark.engine.trainer import Trainer
from rrrbench.benchmark.networks import networks
from rrrbench.benchmark.networks.check import check
from rrrbench.datasets.base import Split
from rrrbench.datasets.registry import BadParameters
from rrrbench.methods.explainers.base import explainers
from rrrbench.methods.gradcam import gradcam, without_maps
from rrrbench.methods.last_layer import without_linear_head
from rrrbench.methods.mitigations.rrr import RRR
from small import bound, small_dataset
from torch.nn import functional as F

FROZEN, GROUP = {"batch_norm": "frozen"}, {"batch_norm": "group"}
MODELS = {
    "resnet18": FROZEN,
    "resnet50": GROUP,
    "mobilenet_v2": FROZEN,
    "mobilenet_v3_small": GROUP,
    "densenet121": FROZEN,
    "efficientnet_b0": FROZEN,
    "regnet_y_400mf": FROZEN,
    "resnext50_32x4d": FROZEN,
    "convnext_tiny": {},
    "vgg11": {},
    "vgg11_bn": GROUP,
    "swin_t": {},
    "swin_v2_t": {},
    "vit_b_16": {},
    "alexnet": {"size": 64},
}
FAST = ("resnet18", "mobilenet_v3_small")
EVERY = [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in MODELS]


def in_colour(split: Split) -> Split:
    """The small dataset's split, enlarged to 3x32x32 with other shades of each channel."""
    shades = torch.tensor([1.0, 0.8, 0.6])[:, None, None]
    images = F.interpolate(split.inputs, (32, 32)) * shades
    masks = F.interpolate(split.masks.float(), (32, 32)).bool().expand(-1, 3, -1, -1)
    return Split(images, split.labels, masks.clone(), split.shortcuts)


def colour_dataset(seed: int = 0, n: int = 16):
    draw = small_dataset(seed, n)
    return replace(
        draw,
        train=in_colour(draw.train),
        validation=in_colour(draw.validation),
        environments={name: in_colour(split) for name, split in draw.environments.items()},
    )


def spec(model: str, **parameters) -> dict:
    return {"name": "torchvision", "model": model, **MODELS.get(model, {}), **parameters}


def images(n: int = 3, channels: int = 3) -> torch.Tensor:
    return torch.rand(n, channels, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.long
@pytest.mark.parametrize("model", EVERY)
def test_every_family_computes_what_torchvisions_module_computes_and_passes_the_check(model):
    """In evaluation, where torchvision's dropout is off and its BatchNorm frozen; GroupNorm is another network."""
    recipe, draw = networks.resolve(spec(model)), colour_dataset()
    check(recipe, draw)
    if recipe.batch_norm == "group":
        return
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        side = {"image_size": 32} if model.startswith("vit") else {}
        whole = torchvision.models.get_model(model, num_classes=draw.classes, **side).eval()
        given = images() if recipe.size is None else F.interpolate(images(), (64, 64), mode="bilinear")
        torch.testing.assert_close(recipe.build(draw, 0)(images()), whole(given))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["stacked", "single"])
def test_batch_norm_frozen_is_trained_as_by_a_plain_loop(engine, tmp_path):
    """By RRR in float64, at strengths 0 and 2, from the statistics of these images."""
    draw = colour_dataset()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        whole = torchvision.models.resnet18(num_classes=3)
        for _ in range(20):
            whole(draw.train.inputs)
    torch.save(whole.state_dict(), tmp_path / "w.pt")
    recipe = networks.resolve(spec("resnet18", weights=str(tmp_path / "w.pt"), normalize="imagenet"))
    strengths, before = (0.0, 2.0), dict(recipe.build(draw, 0).named_parameters())
    table = torch.tensor([strengths], dtype=torch.float64)
    fitted = RRR().fit(Trainer(recipe, [draw], TRAINING, table, engine=engine, dtype=torch.float64))
    for column, strength in enumerate(strengths):
        for name, value in plain_loop(recipe, draw, strength).items():
            own = fitted.parameters[name][0, column]
            same_numbers(own, value, 1e-6, 1e-8, f"{name}, at strength {strength},", "mend the engine")
            assert not torch.equal(own, before[name].double()), f"{name} was not trained"  # affine parameters neither


@pytest.mark.slow
def test_a_frozen_body_stays_and_the_head_trains():
    recipe, draw = networks.resolve(spec("mobilenet_v3_small", freeze="features")), colour_dataset()
    trainer = Trainer(recipe, [draw], TRAINING, torch.zeros(1, 1), engine="stacked")
    before = dict(recipe.build(draw, 0).named_parameters())
    after = RRR().fit(trainer).parameters
    assert {name for name in before if not torch.equal(before[name], after[name][0, 0])} == {"head.weight", "head.bias"}


def test_grey_images_become_three_channels_and_imagenets_normalisation_is_a_fixed_layer():
    draw = small_dataset()
    draw = replace(
        draw, train=replace(draw.train, inputs=images(24, 1), masks=torch.zeros(24, 1, 32, 32, dtype=bool), core=None)
    )
    plain, normalised = (
        networks.resolve(spec("resnet18", normalize=how)).build(draw, 0) for how in ("none", "imagenet")
    )
    mean, deviation = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    colour = images(2, 1).expand(-1, 3, -1, -1)
    whole = networks.resolve(spec("resnet18")).build(colour_dataset(), 0)
    torch.testing.assert_close(plain(images(2, 1)), whole(colour))
    torch.testing.assert_close(normalised(images(2, 1)), whole((colour - mean) / deviation))


def test_the_input_gradient_inside_the_mask_is_the_whole_gradients_part():
    """RRR takes it at the touched positions alone, through the normalisation and the first convolution."""
    from rrrbench.methods.nudge import nudged

    recipe, draw = networks.resolve(spec("resnet18", normalize="imagenet")), colour_dataset()
    net, inputs, positions = bound(recipe.build(draw, 0).double()), images().double(), torch.tensor([0, 5, 1100, 3071])
    nudge = torch.zeros(3, 4, dtype=torch.float64, requires_grad=True)
    (part,) = torch.autograd.grad(nudged(net, inputs, nudge, positions).square().sum(), nudge)
    inputs.requires_grad_()
    (all_of_it,) = torch.autograd.grad(net(inputs).square().sum(), inputs)
    torch.testing.assert_close(part, all_of_it.flatten(1)[:, positions])


@pytest.mark.long
@pytest.mark.parametrize(
    "model", ["resnet18", "mobilenet_v3_small", "densenet121", pytest.param("swin_t", marks=pytest.mark.slow)]
)
def test_grad_cam_and_layer_explainers_find_the_feature_maps(model):
    network = networks.resolve(spec(model)).build(colour_dataset(), 0)
    assert not without_maps(network)
    larger = F.interpolate(images(2), (64, 64))
    cam, _ = gradcam(bound(network), larger, lambda logits: logits.sum(1))
    assert cam.shape == (2, 64, 64)
    assert cam.std() > 0
    for name in ("gradcam", "guided_gradcam"):
        attribution = explainers.resolve(name).attribute(bound(network), larger, torch.tensor([0, 1]))
        assert attribution.shape == larger.shape


@pytest.mark.slow
def test_grad_cam_of_a_vits_tokens_is_refused():
    network = networks.resolve(spec("vit_b_16")).build(colour_dataset(), 0)
    assert "network that is split layer by layer" in without_maps(network)


def test_the_last_layer_can_be_retrained():
    network = networks.resolve(spec("mobilenet_v3_small")).build(colour_dataset(), 0)
    assert not without_linear_head(network)


REFUSED = {
    "unknown": ({"model": "resnet19"}, "'resnet19' is no classifier that is known here: did you mean resnet18"),
    "not split": ({"model": "googlenet"}, "'googlenet' is no classifier that is known here"),
    "no model": ({}, "there is no model: give model"),
    "no such weights": (
        {"model": "resnet18", "weights": "IMAGENET1K_V9"},
        r"'IMAGENET1K_V9' is neither a file \(.pt, .pth\) nor a name of torchvision's for resnet18: did you mean",
    ),
    "nothing said of a file's images": (None, r"say how it wants its images: normalize = \"imagenet\""),
    "both ranges": ({"model": "resnet18", "normalize": "imagenet", "pixel_range": "native"}, "leave pixel_range out"),
}


@pytest.mark.parametrize(("parameters", "message"), REFUSED.values(), ids=REFUSED)
def test_what_a_suite_cannot_mean_is_refused_when_it_is_read(parameters, message, tmp_path):
    torch.save({"fc.bias": torch.zeros(3)}, tmp_path / "w.pt")
    given = {"model": "resnet18", "weights": str(tmp_path / "w.pt")} if parameters is None else parameters
    with pytest.raises(BadParameters, match=message):
        networks.resolve({"name": "torchvision", **given})


UNFIT = {
    "batch norm": ({"model": "resnet18", "batch_norm": None}, 'batch_norm = "frozen".*batch_norm = "group"'),
    "no batch norm": ({"model": "alexnet", "batch_norm": "group", "size": 64}, "has no BatchNorm"),
    "patches": ({"model": "vit_b_32", "size": 48}, r"its patches of 32 pixels divide, got 48x48: give size"),
}


@pytest.mark.parametrize(("parameters", "message"), UNFIT.values(), ids=UNFIT)
def test_what_does_not_fit_is_refused_before_training_with_the_way_out(parameters, message):
    with pytest.raises(ValueError, match=message):
        check(networks.resolve({"name": "torchvision", **parameters}), colour_dataset())


def test_images_that_are_too_small_or_of_two_channels_are_refused():
    with pytest.raises(ValueError, match="use the mlp"):
        networks.resolve(spec("resnet18")).build(small_dataset(), 0)


def test_torchvisions_default_weights_are_known_by_their_name():
    """`DEFAULT` is other weights in other versions of torchvision."""
    recipe = networks.resolve(spec("resnet50", weights="DEFAULT"))
    assert recipe.weights == "IMAGENET1K_V2"
    assert recipe.normalized
    assert recipe.identity()["weights"] == "IMAGENET1K_V2"


def test_weights_that_cannot_be_fetched_name_the_address_and_the_way_out(monkeypatch):
    from torchvision.models import ResNet18_Weights

    def away(self, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", away)
    recipe = networks.resolve(spec("resnet18", weights="DEFAULT"))
    with pytest.raises(
        ValueError, match=r'cannot fetch https.*resnet18.*no route to host.*weights = "resnet18-.*\.pth"'
    ):
        recipe.build(colour_dataset(), 0)


def test_fetched_weights_are_those_of_the_file(monkeypatch, caplog):
    """A head for ImageNet's classes is made anew for three."""
    from torchvision.models import ResNet18_Weights

    caplog.set_level(logging.WARNING)
    state = torchvision.models.resnet18().state_dict()
    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", lambda self, **options: state)
    network = networks.resolve(spec("resnet18", weights="DEFAULT")).build(colour_dataset(), 0)
    assert torch.equal(network.features.conv1.weight, state["conv1.weight"])
    assert network.head.out_features == 3
    assert any("made anew" in record.message for record in caplog.records)
