"""torchvision's classifiers, with its weights or a file's: ResNets, ViTs, ConvNeXts, and others."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.base import ShortcutDataset
from ...datasets.registry import nearest
from ...methods.network import PixelRange
from .base import Network, networks, require_image
from .fine_tuned import FineTuned, Layers
from .foreign_layers import without_draws

if TYPE_CHECKING:
    from torchvision.models import VisionTransformer, WeightsEnum

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's red, green and blue, by which torchvision's weights want images."""
FAMILIES = (
    *("alexnet", "convnext", "densenet", "efficientnet", "mobilenet", "regnet", "resnet", "resnext", "swin", "vgg"),
    *("vit", "wide_resnet"),
)


class Coloured(nn.Module):
    """Repeats a grey channel three times."""

    def forward(self, images: Float[Tensor, "batch 1 rows columns"]) -> Float[Tensor, "batch 3 rows columns"]:
        return images.expand(-1, 3, -1, -1)


class Resized(nn.Module):
    """Resizes images to squares of `size` pixels, bilinearly."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, images: Float[Tensor, "batch c rows columns"]) -> Float[Tensor, "batch c size size"]:
        return F.interpolate(images, (self.size, self.size), mode="bilinear", align_corners=False)


class Tokens(nn.Module):
    """Makes a ViT's patch embeddings a sequence that begins with the class token, and adds the positions."""

    def __init__(self, vit: VisionTransformer) -> None:
        super().__init__()
        self.class_token, self.positions = vit.class_token, vit.encoder.pos_embedding

    def forward(self, maps: Float[Tensor, "batch hidden rows columns"]) -> Float[Tensor, "batch tokens hidden"]:
        patches = maps.flatten(2).transpose(1, 2)
        return torch.cat((self.class_token.expand(len(patches), -1, -1), patches), 1) + self.positions


class ClassToken(nn.Module):
    """Takes the first token of a sequence."""

    def forward(self, tokens: Float[Tensor, "batch tokens hidden"]) -> Float[Tensor, "batch hidden"]:
        return tokens[:, 0]


@networks.register
class TorchvisionModel(FineTuned):
    """A classifier of torchvision by its name (`resnet50`, `vit_b_16`), with torchvision's weights, a file's, or none.

    `weights` is a name of torchvision's, which fetches it (`IMAGENET1K_V2`, `DEFAULT`), or the path of a state dict.
    A head for other classes is made anew. Dropout and stochastic depth have probability 0. Grey images are repeated
    into three channels.
    """

    name: ClassVar[str] = "torchvision"

    model: Annotated[str, Field(description="as torchvision.models.list_models() names it")]
    normalize: Annotated[
        Literal["imagenet", "none"] | None,
        Field(description="by ImageNet's mean and deviation; say it for a file, for it follows from other `weights`"),
    ] = None
    size: Annotated[int | None, Field(ge=16, description="side to which images are resized; None for as they are")] = (
        None
    )

    @classmethod
    def is_file(cls, weights: str) -> bool:
        return "/" in weights or "\\" in weights or weights.endswith(cls.file_suffixes)

    @model_validator(mode="before")
    @classmethod
    def _name_the_default(cls, given: Any) -> Any:
        """Replaces `DEFAULT`, which is other weights in other versions of torchvision, by the name of the weights."""
        if isinstance(given, Mapping) and given.get("weights") == "DEFAULT" and isinstance(given.get("model"), str):
            return {**given, "weights": _named(given["model"], "DEFAULT").name}
        return given

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        from torchvision.models import list_models

        known = [name for name in list_models() if name.startswith(FAMILIES) and "_rcnn" not in name]
        if self.model not in known:
            raise ValueError(
                f"model = {self.model!r} is no classifier that is known here: {nearest(self.model, known)} (of "
                f'torchvision\'s, {", ".join(FAMILIES)}; any other network by {{ name = "module" }})'
            )
        if self.weights is not None and not self.weights_sha256:
            _named(self.model, self.weights)
        if self.weights_sha256 and self.normalize is None:
            raise ValueError(
                f'weights = {self.weights!r}: say how it wants its images: normalize = "imagenet" for weights that '
                'began from torchvision\'s, normalize = "none" for images in [0, 1]'
            )
        if self.normalize == "imagenet" and self.pixel_range != "unit":
            raise ValueError('normalize = "imagenet" is of images in [0, 1]: leave pixel_range out')
        return self

    @property
    def normalized(self) -> bool:
        """Whether the first learned layer sees images less ImageNet's mean, over its deviation."""
        return self.normalize == "imagenet" or (self.normalize is None and self.weights is not None)

    def untrained(self, dataset: ShortcutDataset, seed: int) -> Network:
        stated = self.model_copy(update={"normalize": "imagenet" if self.normalized else "none"})
        return super(TorchvisionModel, stated).untrained(dataset, seed)

    def whole(self, features: tuple[int, ...], classes: int) -> nn.Module:
        from torchvision.models import get_model

        require_image(self.model, features, smallest=16)
        if features[0] not in (1, 3):
            raise ValueError(f"it needs images of 1 or 3 channels, got {features[0]}")
        rows, columns = (self.size or side for side in features[1:])
        options: dict[str, Any] = {"num_classes": classes}
        if self.model.startswith("vit"):
            if rows != columns or rows % (patch := int(self.model.rpartition("_")[2])):
                raise ValueError(
                    f"it needs square images whose side its patches of {patch} pixels divide, got "
                    f"{rows}x{columns}: give size, such as size = 224"
                )
            options["image_size"] = rows
        return without_draws(get_model(self.model, weights=None, **options))

    def split(self, whole: nn.Module, features: tuple[int, ...]) -> Layers:
        layers, head = _SPLIT[type(whole).__name__](whole)
        sides = [self.size or side for side in features[1:]]
        before = OrderedDict[str, nn.Module]()
        if features[0] == 1:
            before["coloured"] = Coloured()
        if self.size is not None and [*features[1:]] != sides:
            before["resized"] = Resized(self.size)
        if self.normalized:
            mean, deviation = (torch.tensor(value)[:, None, None].expand(3, *sides) for value in IMAGENET)
            before["normalized"] = PixelRange(-mean / deviation, (1 - mean) / deviation)
        return OrderedDict((*before.items(), *layers.items())), head

    def state(self) -> tuple[Mapping[str, Tensor], str] | None:
        if self.weights is None or self.weights_sha256:
            return super().state()
        named = _named(self.model, self.weights)
        try:
            return named.get_state_dict(progress=False, check_hash=True), f"network {self.name}: {self.weights}"
        except OSError as error:
            file = named.url.rpartition("/")[2]
            raise ValueError(
                f"torchvision cannot fetch {named.url} ({error}): fetch it where there is a "
                f'network, and give weights = "{file}", normalize = "imagenet"'
            ) from error


def _named(model: str, weights: str) -> WeightsEnum:
    """Torchvision's weights of a model by their name.

    Raises:
        ValueError: the model has no weights of this name.
    """
    from torchvision.models import get_model_weights

    try:
        known = get_model_weights(model)
    except ValueError:
        raise ValueError(f"model = {model!r}: torchvision has no weights of it") from None
    if weights not in known.__members__:
        raise ValueError(
            f"weights = {weights!r} is neither a file (.pt, .pth) nor a name of torchvision's for {model}: "
            f"{nearest(weights, known.__members__)}; for a network that is not pretrained leave weights out"
        )
    return known[weights]


def _from(whole: nn.Module, *names: str) -> OrderedDict[str, nn.Module]:
    """Parts of a module by name; the parts of a Sequential under its name and theirs."""
    layers = OrderedDict[str, nn.Module]()
    for name in names:
        part = whole.get_submodule(name)
        parts = part.named_children() if isinstance(part, nn.Sequential) else ()
        layers.update({f"{name}_{own}": child for own, child in parts} or {name: part})
    return layers


def _classified(whole: nn.Module, *names: str, flatten: str) -> Layers:
    """Parts of a module, and of its classifier, whose last layer is the head; flattened before the part `flatten`."""
    layers = OrderedDict[str, nn.Module]()
    for name, layer in _from(whole, *names).items():
        if name == flatten:
            layers["flatten"] = nn.Flatten()
        layers[name] = layer
    _, head = layers.popitem()
    return layers, head


def _resnet(whole: nn.Module) -> Layers:
    layers = OrderedDict[str, nn.Module]((name, child) for name, child in whole.named_children())
    head = layers.pop("fc")
    return OrderedDict((*layers.items(), ("flatten", nn.Flatten()))), head


def _densenet(whole: nn.Module) -> Layers:
    layers = OrderedDict[str, nn.Module](whole.get_submodule("features").named_children())
    layers.update(relu=nn.ReLU(), pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten())
    return layers, whole.get_submodule("classifier")


def _mobilenet_v2(whole: nn.Module) -> Layers:
    layers = _from(whole, "features")
    layers.update(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), dropout=whole.get_submodule("classifier.0"))
    return layers, whole.get_submodule("classifier.1")


def _vit(whole: nn.Module) -> Layers:
    encoder = whole.get_submodule("encoder")
    layers = OrderedDict[str, nn.Module](patches=whole.get_submodule("conv_proj"), tokens=Tokens(whole))  # pyrefly: ignore
    layers.update(encoder.get_submodule("layers").named_children())
    layers.update(norm=encoder.get_submodule("ln"), class_token=ClassToken())
    return layers, whole.get_submodule("heads.head")


_SPLIT: dict[str, Callable[[nn.Module], Layers]] = {
    "AlexNet": lambda whole: _classified(whole, "features", "avgpool", "classifier", flatten="classifier_0"),
    "ConvNeXt": lambda whole: _classified(whole, "features", "avgpool", "classifier", flatten=""),
    "DenseNet": _densenet,
    "EfficientNet": lambda whole: _classified(whole, "features", "avgpool", "classifier", flatten="classifier_0"),
    "MobileNetV2": _mobilenet_v2,
    "MobileNetV3": lambda whole: _classified(whole, "features", "avgpool", "classifier", flatten="classifier_0"),
    "RegNet": lambda whole: _classified(whole, "stem", "trunk_output", "avgpool", "fc", flatten="fc"),
    "ResNet": _resnet,
    "SwinTransformer": lambda whole: _classified(
        whole, "features", "norm", "permute", "avgpool", "flatten", "head", flatten=""
    ),
    "VGG": lambda whole: _classified(whole, "features", "avgpool", "classifier", flatten="classifier_0"),
    "VisionTransformer": _vit,
}
"""How each family of torchvision becomes layers and a head."""
