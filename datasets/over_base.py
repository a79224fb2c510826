"""The base class of recipes that plant a shortcut in the images of a base."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from .recipe import Recipe
from .sources import files, known, load


class OverBase(Recipe):
    """A recipe over digits, crosses, MNIST, Fashion-MNIST, CIFAR-10 or images of a user's own."""

    base: Annotated[str, Field(description="digits, crosses, mnist, fashion-mnist, cifar10, or npz:PATH")] = "digits"
    validation: Annotated[int | None, Field(ge=1, description="inputs held out of training; None for a tenth")] = None

    @field_validator("base")
    @classmethod
    def _known(cls, base: str) -> str:
        return known(base)

    @property
    def id(self) -> str:
        """The name, with the base in it: `decoy-mnist[variant=cdep]`; of a base's path only the file's stem."""
        kind, _, path = self.base.partition(":")
        over = f"{kind}:{Path(path).stem}" if path else kind
        default = self.model_copy(update={"base": type(self).model_fields["base"].default})
        return super(OverBase, default).id.replace(self.name, f"{self.name}-{over}", 1)

    def files(self) -> tuple[Path, ...]:
        return files(self.base)

    def require(self) -> None:
        load(self.base)
