"""Names to classes, and the ids and identities of entries, on a registry of fruit."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import Field
from rrrbench.datasets import registry
from rrrbench.datasets.registry import BadParameters, Named, Registry, UnknownName, nearest


class Fruit(Named):
    name: ClassVar[str] = "fruit"


class Apple(Fruit):
    name: ClassVar[str] = "apple"

    ripe: bool = False
    weight: Annotated[float, Field(gt=0)] = 0.2
    colors: tuple[str, ...] = ("red",)


class SecondApple(Fruit):
    name: ClassVar[str] = "apple"


class Kiwi(Fruit):
    """Installed as an entry point."""

    name: ClassVar[str] = "kiwi"


@pytest.fixture
def fruit(tmp_path, monkeypatch) -> Registry[Fruit]:
    """A registry over a package whose module `pear` registers `pear`; `apple` is registered by hand."""
    folder = tmp_path / "orchard"
    folder.mkdir()
    (folder / "__init__.py").write_text("known = None\n")
    (folder / "pear.py").write_text("import orchard\n\norchard.known.register(orchard.Pear)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for module in ("orchard", "orchard.pear"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    import orchard

    known: Registry[Fruit] = Registry("fruit", "orchard")
    orchard.known, orchard.Pear = known, type("Pear", (Fruit,), {"name": "pear", "__annotations__": {}})
    known.register(Apple)
    yield known
    sys.modules.pop("orchard", None)
    sys.modules.pop("orchard.pear", None)


def test_names_are_sorted_and_modules_of_the_package_are_found(fruit):
    assert fruit.names() == ["apple", "pear"]
    assert fruit["apple"] is Apple


def test_installed_entry_points_are_found(fruit, monkeypatch):
    def installed(group: str) -> list[EntryPoint]:
        return [EntryPoint("kiwi", f"{__name__}:Kiwi", group)] if group == "orchard" else []

    monkeypatch.setattr(registry, "entry_points", installed)
    assert fruit.names() == ["apple", "kiwi", "pear"]
    assert fruit["kiwi"] is Kiwi


def test_an_unknown_name_is_refused_with_the_nearest(fruit):
    with pytest.raises(UnknownName, match="no fruit is called 'aple'; did you mean apple"):
        fruit.resolve("aple")


def test_without_a_near_name_all_are_listed():
    assert nearest("zzz", ["pear", "apple"]) == "known: apple, pear"


def test_two_classes_of_one_name_are_refused(fruit):
    with pytest.raises(ValueError, match=r"two fruits are named 'apple'.*rename one"):
        fruit.register(SecondApple)
    assert fruit.register(Apple) is Apple  # a module that is imported twice


def test_a_table_of_name_and_parameters_is_resolved(fruit):
    assert fruit.resolve({"name": "apple", "ripe": True}) == Apple(ripe=True)
    assert fruit.resolve("apple") == Apple()


def test_an_unknown_parameter_is_refused_with_the_nearest(fruit):
    with pytest.raises(BadParameters, match="fruit 'apple': 'wieght' is not a parameter; did you mean weight"):
        fruit.resolve({"name": "apple", "wieght": 1})


def test_a_value_out_of_range_is_refused_with_the_value(fruit):
    with pytest.raises(BadParameters, match=r"fruit 'apple': weight = -1: .*greater than 0"):
        fruit.resolve({"name": "apple", "weight": -1})


def test_an_item_that_is_missing_is_named(fruit):
    class Melon(Fruit):
        name: ClassVar[str] = "melon"

        sides: Literal["equal"] | tuple[int, int] = "equal"

    fruit.register(Melon)
    with pytest.raises(BadParameters, match=r"fruit 'melon': sides = \[3\]: .*; sides\.1 = \[3\]: Field required"):
        fruit.resolve({"name": "melon", "sides": [3]})


def test_the_id_has_changed_parameters_sorted_and_without_spaces():
    assert Apple().id == "apple"
    assert Apple(weight=0.2).id == "apple"
    assert (
        Apple(weight=0.3, ripe=True, colors=("red", "green")).id == "apple[colors=['red','green'],ripe=True,weight=0.3]"
    )


def test_the_identity_has_name_and_version_and_leaves_out_defaults():
    assert Apple().identity() == {"name": "apple", "version": 1}
    assert Apple(weight=0.2, ripe=True).identity() == {"name": "apple", "version": 1, "ripe": True}


def test_a_new_field_with_a_default_changes_no_identity_and_a_new_version_does():
    class Grown(Apple):
        stem: bool = True

    class Bred(Apple):
        version: ClassVar[int] = 2

    assert Grown(ripe=True).identity() == Apple(ripe=True).identity()
    assert Bred(ripe=True).identity() != Apple(ripe=True).identity()


def test_resolved_shows_the_defaults_too():
    assert Apple().resolved() == {"name": "apple", "ripe": False, "weight": 0.2, "colors": ["red"]}


def test_an_entry_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Apple().ripe = True
