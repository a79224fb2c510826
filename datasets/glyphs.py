"""Letters with known latents, and the exact, differentiable renderer that draws them.

Explainers that change an input until the prediction changes need a dataset with a way from latents to images:

    z = core (3) | shortcut (3) | nuisance (5)      core: which letter; shortcut: in which font
                                                    nuisance: ink, scale, x, y, rotation

The label is the parity of the letter, as in bex (Velazquez et al. 2023, openreview.net/forum?id=RYeRNwRjNE). With
probability `correlation` an input's font is drawn from the `breadth / 2` fonts of its label, else from all 22 fonts.
These are the fonts with capitals that come with matplotlib: DejaVu, STIX and Computer Modern, under free licences. The
fonts of a label share a style, such as bold or slanted, because a shortcut should be a simpler rule than the true rule.

The renderer is analytic. Letters and fonts sit on points of {-1, 0, 1}^3, and

    image(z) = ink * warp(sum_cf w_c(core) w_f(shortcut) glyph_cf),   w_i = softmax_i(-|raw - point_i|^2 / 2 WIDTH^2)

where warp is a similarity transform. An image equals the rendering of its latents bit for bit, every latent has a
gradient, and nothing is trained or downloaded.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from string import ascii_uppercase
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from .base import generator
from .registry import Named

CHARACTERS = ascii_uppercase
FONTS = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmr10", "cmb10", "cmmi10", "cmss10", "cmtt10", "cmsy10"),
)
NUISANCES = ("ink", "scale", "x", "y", "rotation")
CORE, SHORTCUT, NUISANCE = slice(0, 3), slice(3, 6), slice(6, 11)
SIDE = 24
VALIDATION = 1000
"""Validation letters of a recipe's draw, if no more are explained."""
WIDTH = 0.35
"""Standard deviation of a point's neighbourhood; the next point is at distance 1."""
REACH = 1.25
"""Raw latents are clamped to [-REACH, REACH] before rendering; inputs are drawn from [-1, 1]."""

_CAPITAL, _WIDEST = 14.0, 20.0
"""Pixels: the height of a font's H, and the largest side of any letter."""
_INK, _SCALE, _SHIFT, _ROTATION = (0.75, 0.2), (0.95, 0.15), 0.12, 0.26
"""Middle and half range of the ink and of the size factor; largest shift in half sides; largest rotation in radians."""


class Letters(NamedTuple):
    """Inputs as drawn: latents, with the label, the letter and the font that the latents stand for."""

    latents: Float[Tensor, "n z"]
    labels: Int[Tensor, "n"]
    characters: Int[Tensor, "n"]
    fonts: Int[Tensor, "n"]


class Renderer(nn.Module):
    """Renders standardised latents as images in [0, 1]; differentiable, without parameters.

    Args:
        mean: mean of the training inputs' raw latents.
        std: standard deviation of the training inputs' raw latents.
    """

    glyphs: Tensor
    character_points: Tensor
    font_points: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, mean: Float[Tensor, "z"], std: Float[Tensor, "z"]) -> None:
        super().__init__()
        self.register_buffer("glyphs", torch.tensor(_glyphs()).flatten(1))
        self.register_buffer("character_points", torch.tensor(_points(len(CHARACTERS), "characters")).float())
        self.register_buffer("font_points", torch.tensor(_points(len(FONTS), "fonts")).float())
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    @property
    def character_latents(self) -> Float[Tensor, "characters core"]:
        """Standardised core latents of each letter."""
        return (self.character_points - self.mean[CORE]) / self.std[CORE]

    @property
    def font_latents(self) -> Float[Tensor, "fonts shortcut"]:
        """Standardised shortcut latents of each font."""
        return (self.font_points - self.mean[SHORTCUT]) / self.std[SHORTCUT]

    def forward(self, latents: Float[Tensor, "n z"]) -> Float[Tensor, "n 1 rows columns"]:
        characters, fonts = self.mixture(latents)
        weights = (characters[:, :, None] * fonts[:, None]).flatten(1)
        return _warped(weights @ self.glyphs, self._raw(latents)[:, NUISANCE])

    def mixture(self, latents: Float[Tensor, "n z"]) -> tuple[Float[Tensor, "n characters"], Float[Tensor, "n fonts"]]:
        """Share of each letter and share of each font in an image; letters sum to 1, and fonts sum to 1."""
        raw = self._raw(latents)
        near = _nearness(raw[:, CORE], self.character_points), _nearness(raw[:, SHORTCUT], self.font_points)
        return near[0].softmax(1), near[1].softmax(1)

    def nearest(self, latents: Float[Tensor, "n z"]) -> tuple[Int[Tensor, "n"], Int[Tensor, "n"]]:
        """The letter and the font with the largest shares in an image."""
        characters, fonts = self.mixture(latents)
        return characters.argmax(1), fonts.argmax(1)

    def crisp(self, latents: Float[Tensor, "n z"]) -> Float[Tensor, "n 1 rows columns"]:
        """Renders the nearest letter in the nearest font, unmixed; no gradient leads to other letters or fonts."""
        character, font = self.nearest(latents)
        return _warped(self.glyphs[character * len(FONTS) + font], self._raw(latents)[:, NUISANCE])

    def _raw(self, latents: Float[Tensor, "n z"]) -> Float[Tensor, "n z"]:
        return (latents * self.std + self.mean).clamp(-REACH, REACH)


@dataclass(frozen=True)
class Glyphs:
    """One draw of letters, and its renderer.

    Attributes:
        class_fonts: the fonts of each class.
    """

    seed: int
    correlation: float
    breadth: int
    renderer: Renderer
    class_fonts: Int[Tensor, "classes fonts"]
    train: Letters
    validation: Letters

    @torch.no_grad()
    def images(self, letters: Letters) -> Float[Tensor, "n 1 rows columns"]:
        """Renders the letters, 1000 at a time."""
        return torch.cat([self.renderer(chunk) for chunk in letters.latents.split(1000)])

    @torch.no_grad()
    def blend(self) -> float:
        """Mean absolute error of validation images against their crisp letters, over the mean of the crisp letters.

        This mixture is the renderer's only inexactness; it gives letters a gradient towards each other.
        """
        crisp = torch.cat([self.renderer.crisp(chunk) for chunk in self.validation.latents.split(1000)])
        return ((self.images(self.validation) - crisp).abs().mean() / crisp.mean()).item()

    def to(self, device: torch.device | str) -> Glyphs:
        """The same draw on another device."""
        parts = (Letters(*(tensor.to(device) for tensor in letters)) for letters in (self.train, self.validation))
        train, validation = parts
        fonts = self.class_fonts.to(device)
        return replace(self, renderer=self.renderer.to(device), class_fonts=fonts, train=train, validation=validation)

    def digest(self) -> str:
        """SHA-256 over glyphs, points, latents, labels and fonts: 64 hexadecimal digits."""
        sha = hashlib.sha256()
        for tensor in (*self.renderer.buffers(), self.class_fonts, *self.train, *self.validation):
            sha.update(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
            sha.update(np.ascontiguousarray(tensor.cpu().numpy()).tobytes())
        return sha.hexdigest()


class GlyphsRecipe(Named):
    """Letters whose fonts agree with their labels; (parameters, seed) alone decide every pixel."""

    name: ClassVar[str] = "glyphs"
    correlation: Annotated[float, Field(ge=0, le=1, description="probability of a font of the input's label")] = 0.95
    breadth: Annotated[
        int, Field(ge=2, le=len(FONTS), multiple_of=2, description="fonts of both labels together, half for each")
    ] = 10
    inputs: Annotated[int, Field(ge=1, description="validation letters that are explained")] = 20

    def make(self, seed: int) -> Glyphs:
        """A draw with at least as many validation letters as are explained."""
        return draw_glyphs(seed, self.correlation, self.breadth, validation=max(VALIDATION, self.inputs))


def draw_glyphs(
    seed: int, correlation: float = 0.95, breadth: int = 10, train: int = 1000, validation: int = VALIDATION
) -> Glyphs:
    """Draws letters whose fonts agree with their labels.

    Args:
        correlation: probability of a font of the input's label; otherwise the font is drawn from all fonts.
        breadth: number of fonts that belong to a class, half of them to each class.

    Raises:
        ValueError: a correlation outside [0, 1], or a breadth that is odd, below 2, or above the number of fonts.
    """
    if not 0 <= correlation <= 1:
        raise ValueError(f"correlation is {correlation}, expected a probability, such as 0.95")
    if breadth % 2 or not 2 <= breadth <= len(FONTS):
        raise ValueError(f"breadth is {breadth}, expected an even number of fonts from 2 to {len(FONTS)}, such as 10")
    class_fonts = _two_styles(generator(seed, "class fonts"), breadth)
    sizes = {"train": train, "validation": validation}
    drawn = {part: _draw(generator(seed, part), n, class_fonts, correlation) for part, n in sizes.items()}
    raw = drawn["train"][0]
    mean, std = raw.mean(0).round(6), raw.std(0).round(6)  # rounded: sums differ in their last bits between machines
    std[std == 0] = 1.0  # fonts can agree in a coordinate: no division by zero
    parts = [
        Letters(torch.from_numpy((latents - mean) / std).float(), *map(torch.from_numpy, meaning))
        for latents, *meaning in drawn.values()
    ]
    renderer = Renderer(torch.from_numpy(mean).float(), torch.from_numpy(std).float())
    return Glyphs(seed, correlation, breadth, renderer, torch.from_numpy(class_fonts), *parts)


def _two_styles(rng: np.random.Generator, breadth: int) -> Int[np.ndarray, "classes fonts"]:
    """Draws a font and takes the font farthest from it; gives each the `breadth` / 2 fonts nearest to it.

    Fonts are sorted by their distance to the drawn font minus their distance to the farthest font. The class of each
    style is drawn as well.
    """
    glyphs = torch.tensor(_glyphs()).unflatten(0, (len(CHARACTERS), len(FONTS))).flatten(2)
    distances = torch.cdist(glyphs, glyphs).mean(0).numpy()
    drawn = rng.integers(len(FONTS))
    farthest = distances[drawn].argmax()
    by_nearness = (distances[drawn] - distances[farthest]).argsort()
    return rng.permutation(np.stack([by_nearness[: breadth // 2], by_nearness[-(breadth // 2) :]]))


def _draw(
    rng: np.random.Generator, n: int, class_fonts: Int[np.ndarray, "classes fonts"], correlation: float
) -> tuple[np.ndarray, ...]:
    """Draws raw latents, labels, characters and fonts."""
    characters = rng.integers(0, len(CHARACTERS), n)
    labels = characters % 2
    own = class_fonts[labels, rng.integers(0, class_fonts.shape[1], n)]
    fonts = np.where(rng.random(n) < correlation, own, rng.integers(0, len(FONTS), n))
    points = _points(len(CHARACTERS), "characters")[characters], _points(len(FONTS), "fonts")[fonts]
    return np.hstack([*points, rng.uniform(-1, 1, (n, len(NUISANCES)))]), labels, characters, fonts


def _nearness(raw: Float[Tensor, "n 3"], points: Float[Tensor, "points 3"]) -> Float[Tensor, "n points"]:
    return -(raw[:, None] - points).square().sum(2) / (2 * WIDTH**2)


def _warped(glyphs: Float[Tensor, "n pixels"], nuisance: Float[Tensor, "n 5"]) -> Float[Tensor, "n 1 rows columns"]:
    """Scales, rotates and shifts glyphs, and lightens their ink."""
    ink, scale, x, y, rotation = nuisance.unbind(1)
    factor, x, y = _SCALE[0] + _SCALE[1] * scale, _SHIFT * x, _SHIFT * y
    cos, sin = (_ROTATION * rotation).cos() / factor, (_ROTATION * rotation).sin() / factor
    place = torch.stack([cos, sin, -cos * x - sin * y, -sin, cos, sin * x - cos * y], 1).unflatten(1, (2, 3))
    images = glyphs.unflatten(1, (1, SIDE, SIDE))
    grid = F.affine_grid(place, list(images.shape), align_corners=False)
    return (_INK[0] + _INK[1] * ink)[:, None, None, None] * F.grid_sample(images, grid, align_corners=False)


@cache
def _points(n: int, stream: str) -> Float[np.ndarray, "n 3"]:
    """Draws n points of {-1, 0, 1}^3, always the same for a stream."""
    lattice = np.array(list(product((-1.0, 0.0, 1.0), repeat=3)))
    return generator(0, stream).permutation(lattice)[:n]


@cache
def _glyphs() -> Float[np.ndarray, "character_and_font rows columns"]:
    """Draws every letter in every font, in [0, 1], centred, with H of equal height in all fonts. Takes a second."""
    from matplotlib import get_data_path  # takes seconds to import
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties
    from matplotlib.patches import PathPatch
    from matplotlib.textpath import TextPath
    from matplotlib.transforms import Affine2D

    width, height = len(FONTS) * SIDE, len(CHARACTERS) * SIDE
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    for column, font in enumerate(FONTS):
        properties = FontProperties(fname=Path(get_data_path()) / "fonts" / "ttf" / f"{font}.ttf")
        capital = TextPath((0, 0), "H", size=100, prop=properties).get_extents().height
        for row, character in enumerate(CHARACTERS):
            path = TextPath((0, 0), character, size=100, prop=properties)
            box = path.get_extents()
            factor = min(_CAPITAL / capital, _WIDEST / box.width, _WIDEST / box.height)
            place = Affine2D().translate(-(box.x0 + box.x1) / 2, -(box.y0 + box.y1) / 2).scale(factor)
            place.translate((column + 0.5) * SIDE, height - (row + 0.5) * SIDE)
            axes.add_patch(PathPatch(place.transform_path(path), facecolor="black", linewidth=0, snap=False))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    sheet = 1 - np.asarray(canvas.buffer_rgba())[:, :, 0].astype(np.float32) / 255
    tiles = sheet.reshape(len(CHARACTERS), SIDE, len(FONTS), SIDE).transpose(0, 2, 1, 3)
    return tiles.reshape(-1, SIDE, SIDE)
