"""Small renderings of every registered recipe."""

from functools import cache

from jaxtyping import Bool
from rrrbench.datasets import ShortcutDataset
from rrrbench.datasets.recipe import Recipe, datasets
from torch import Tensor

VARIANTS = [
    *(
        {"name": name}
        for name in datasets.names()  # a new recipe joins by itself, if it needs no parameter
        if not any(field.is_required() for field in datasets[name].model_fields.values())
    ),
    {"name": "decoy", "variant": "cdep"},
    {"name": "decoy", "variant": "half", "correlation": 0.5},
    {"name": "colored-patch", "position": "random", "opacity": 0.4, "colors": 3, "correlation": 0.9},
    {"name": "toy-colors", "shortcut": "top_middle"},
    {"name": "planted", "planters": ["background", {"name": "overlay", "told": False}]},
    {"name": "planted", "planters": ["tint", "patch"], "core_contrast": 0.5, "core_noise": 0.2},
]


def small(**spec) -> Recipe:
    """The recipe with its sizes cut down."""
    sizes = {"train_inputs": 400, "test_inputs": 300}
    fields = datasets[spec["name"]].model_fields
    return datasets.resolve({**{key: size for key, size in sizes.items() if key in fields}, **spec})


@cache
def rendered(recipe: Recipe, seed: int = 0) -> ShortcutDataset:
    return recipe.make(seed)


def assert_share(hits: Bool[Tensor, "n"], probability: float) -> None:
    """The share of hits is within four standard deviations of a binomial's."""
    deviation = (probability * (1 - probability) / len(hits)) ** 0.5
    assert abs(hits.double().mean().item() - probability) <= 4 * deviation + 1e-12
