"""What networks of other people's making share: given weights, BatchNorm, and frozen features."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from ...datasets.base import ShortcutDataset
from . import weights as files
from .base import Network, NetworkRecipe
from .foreign_layers import BatchNorm, settle_batch_norm, twice_differentiable
from .not_trainable import NotTrainable

Layers = tuple[OrderedDict[str, nn.Module], nn.Module]
"""The layers of `features`, by name, and the head."""
Sha256 = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]


class FineTuned(NetworkRecipe):
    """A network from elsewhere, which may begin from given weights; abstract.

    The run key has the weights' SHA-256 and not their path: a file of another content is another network.
    """

    file_suffixes: ClassVar[tuple[str, ...]] = (".pt", ".pth", ".bin", ".ckpt")

    weights: Annotated[str | None, Field(description="path of a state dict; read with weights_only=True")] = None
    weights_sha256: Annotated[Sha256, Field(description="of the file; filled in where the file is there")] = ""
    batch_norm: Annotated[
        BatchNorm | None,
        Field(description="`frozen`: running statistics are constants, affine parameters train; `group`: GroupNorm"),
    ] = None
    freeze: Annotated[Literal["features"] | None, Field(description="`features`: train the head alone")] = None

    @model_validator(mode="before")
    @classmethod
    def _know_the_file(cls, given: Any) -> Any:
        """Fills in the digest of the file of weights."""
        if not isinstance(given, Mapping) or not isinstance(path := given.get("weights"), str) or not cls.is_file(path):
            return given
        expected = given.get("weights_sha256", "")
        return {**given, "weights_sha256": files.digest(path, expected if isinstance(expected, str) else "")}

    @model_validator(mode="after")
    def _no_digest_without_a_file(self) -> Self:
        if self.weights_sha256 and (self.weights is None or not self.is_file(self.weights)):
            raise ValueError("weights_sha256 is of a file: give weights = its path")
        return self

    @classmethod
    def is_file(cls, weights: str) -> bool:
        """Whether weights are a file's path, and no name of weights that are known elsewhere."""
        return True

    def identity(self) -> dict[str, Any]:
        identity = super().identity()
        if self.weights_sha256:
            del identity["weights"]
        return identity

    def shown(self) -> dict[str, Any]:
        shown = super().shown()
        if digest := shown.pop("weights_sha256", ""):
            shown["weights"] = f"{Path(shown['weights']).name}@{digest[:8]}"
        return shown

    def files(self) -> tuple[Path, ...]:
        file = Path(self.weights).expanduser() if self.weights and self.weights_sha256 else None
        return (file,) if file is not None and file.is_file() else ()

    def untrained(self, dataset: ShortcutDataset, seed: int) -> Network:
        return self.model_copy(update={"weights": None, "weights_sha256": ""}).build(dataset, seed)

    def whole(self, features: tuple[int, ...], classes: int) -> nn.Module:
        """Makes the network as its author wrote it, from images to logits."""
        raise NotImplementedError

    def split(self, whole: nn.Module, features: tuple[int, ...]) -> Layers:
        """Splits the network into layers of `features` and the head, without copying them."""
        raise NotImplementedError

    def state(self) -> tuple[Mapping[str, Tensor], str] | None:
        """The given weights, and what they are called in errors; None if there are none."""
        if self.weights is None:
            return None
        return files.read(self.weights, self.weights_sha256), f"network {self.name}: {self.weights}"

    def layers(self, features: tuple[int, ...], classes: int) -> Layers:
        try:
            return self._layers(features, classes)
        except NotTrainable:
            raise
        except ValueError as error:  # of every run, so that it is said once
            raise NotTrainable(f"network {self.id}: {error}") from error

    def _layers(self, features: tuple[int, ...], classes: int) -> Layers:
        whole = self.whole(features, classes)
        by_author = whole.state_dict(keep_vars=True)
        whole = twice_differentiable(settle_batch_norm(whole, self.batch_norm))
        layers, head = self.split(whole, features)
        if (given := self.state()) is not None:
            ours = Network(layers, head).state_dict(keep_vars=True)
            files.fill((by_author, ours), given[0], head, given[1])
        if self.freeze == "features":
            nn.ModuleList(layers.values()).requires_grad_(False)
        return layers, head
