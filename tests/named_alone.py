"""The entries of a registry that a name alone makes; those that need parameters are tested in files of their own."""

from __future__ import annotations

from rrrbench.datasets.registry import Registry


def named_alone(registry: Registry) -> list[str]:
    fields = {name: registry[name].model_fields.values() for name in registry.names()}
    return [name for name, own in fields.items() if not any(field.is_required() for field in own)]
