"""The resources that a table's assets use: their keys, and what must be found under them."""

from __future__ import annotations

import inspect
import json
import keyword
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, TypeVar, get_type_hints

import dagster as dg
from dagster._core.definitions.resource_requirement import ResourceRequirement
from dagster._core.storage.mem_io_manager import mem_io_manager

from pxt_assets.errors import DefinitionError, RunError, did_you_mean

RESOURCES_TAG = "pxt_assets/resources"
"""Op tag of a table's asset: the names of ResourceKeys by the keys that stand for them, as JSON."""

_UNKNOWN = object()
_HARDCODING = ("hardcoded_resource.<locals>.<lambda>", "hardcoded_io_manager.<locals>.<lambda>")
"""The functions of resources that Dagster makes of plain objects."""
_TO_MEMORY = "materialize_to_memory"

R = TypeVar("R")


class ResourceKeys(NamedTuple):
    """The keys of the resources that a table's assets use."""

    openai: str = "openai"
    columns: str = "columns"
    indexes: str = "indexes"


def resource_keys_of(given: object) -> ResourceKeys:
    """The keys that a user gave, by the usual ones; what is left out keeps the usual key. Raises DefinitionError."""
    if given is None:
        return ResourceKeys()
    if not isinstance(given, Mapping):
        msg = f"got resource_keys={given!r:.60}, allowed: a dict of {', '.join(ResourceKeys._fields)}"
        raise DefinitionError(msg)
    for name, key in given.items():
        if name not in ResourceKeys._fields:
            hint = did_you_mean(str(name), ResourceKeys._fields)
            msg = f"resource_keys: got {name!r}, allowed: {', '.join(ResourceKeys._fields)}{hint}"
            raise DefinitionError(msg)
        if not (isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key)):
            msg = (
                f"resource_keys[{name!r}]: got {key!r}, allowed: the key of a resource, a Python name such as "
                f"{name + '_eu'!r}"
            )
            raise DefinitionError(msg)
    keys = ResourceKeys(**given)
    if len(set(keys)) < len(keys):
        msg = f"got resource_keys={keys._asdict()}: one resource cannot be two of these; give each a key of its own"
        raise DefinitionError(msg)
    return keys


@cache
def resource_class(name: str) -> type:
    """What must be found under one of ResourceKeys; no other is imported."""
    if name == "openai":
        from pxt_assets.api.openai_resource import OpenAIResource

        return OpenAIResource
    if name == "indexes":
        from pxt_assets.index.embedding_indexes import EmbeddingIndexes

        return EmbeddingIndexes
    from pxt_assets.storage.store import ColumnStore

    return ColumnStore


def resources_tag(used: Mapping[str, str]) -> dict[str, str]:
    """The op tag of an asset that uses resources: names of ResourceKeys by resource key."""
    return {RESOURCES_TAG: json.dumps(dict(sorted(used.items())))}


def class_requirements(op: dg.OpDefinition, asset: str) -> Iterator[ResourceRequirement]:
    """What the resources that an asset's op is tagged with must be."""
    for key, name in json.loads(op.tags.get(RESOURCES_TAG, "{}")).items():
        yield _ClassRequirement(asset, key, name)


@dataclass(frozen=True)
class _ClassRequirement(ResourceRequirement):
    """Under a key there must be the resource of that name; what cannot be told before a run is refused in the step."""

    asset: str
    key: str
    name: str

    def is_satisfied(self, resource_defs: Mapping[str, dg.ResourceDefinition]) -> bool:
        definition = resource_defs.get(self.key)
        return definition is None or _known_to_give_another(definition, resource_class(self.name)) is None

    def ensure_satisfied(self, resource_defs: Mapping[str, dg.ResourceDefinition]) -> None:
        """Raises DefinitionError for a resource of another kind; that one is missing Dagster says."""
        if not self.is_satisfied(resource_defs):
            got = _known_to_give_another(resource_defs[self.key], resource_class(self.name))
            raise DefinitionError(_wrong_resource(self.asset, self.key, self.name, str(got)))


def used_resource(resources: object, key: str, kind: type[R], asset: str) -> R:
    """The resource of that kind that a step got under a key. Raises dg.Failure for anything else."""
    found = getattr(resources, key)
    if isinstance(found, kind):
        return found
    name = next(name for name in ResourceKeys._fields if resource_class(name) is kind)
    msg = _wrong_resource(asset, key, name, _class_text(type(found)))
    raise dg.Failure(msg, allow_retries=False) from RunError(msg)


def _wrong_resource(asset: str, key: str, name: str, got: str) -> str:
    allowed = _class_text(resource_class(name))
    return (
        f"{asset}: the resource {key!r} is {got}, allowed: {allowed}; give one of these under this key, or under another "
        f"that the table names: Table(..., resource_keys={{{name!r}: ...}})"
    )


def _class_text(kind: type) -> str:
    """A class and the package it is of: there are several of a name."""
    return f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}"


def _known_to_give_another(definition: dg.ResourceDefinition, wanted: type) -> str | None:
    """What a resource gives to assets, as text, if that is known and cannot be `wanted`."""
    declared = getattr(definition, "configurable_resource_cls", None)
    if declared is None:
        value = _hardcoded(definition)
        if definition is mem_io_manager or isinstance(value, dg.InMemoryIOManager):
            return (
                None
                if _is_run_in_memory()
                else f"memory, which lasts as long as its process ({_TO_MEMORY} does so in tests)"
            )
        if value is not _UNKNOWN:
            return None if isinstance(value, wanted) else _class_text(type(value))
        return "a resource of Dagster's own" if definition._is_dagster_maintained() else None
    given = _given_class(declared)
    if given is None or issubclass(given, wanted) or issubclass(wanted, given):
        return None
    return _class_text(declared)


def _hardcoded(definition: dg.ResourceDefinition) -> object:
    """The object that was given as the resource; `_UNKNOWN` for a resource that is made in the run."""
    make = definition.resource_fn
    code = getattr(make, "__code__", None)
    if code is None or not str(code.co_qualname).endswith(_HARDCODING):
        return _UNKNOWN
    return inspect.getclosurevars(make).nonlocals.get("value", _UNKNOWN)


def _is_run_in_memory() -> bool:
    """Whether Dagster is making the run of a `materialize_to_memory`, which puts memory in place of all stores."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_name == _TO_MEMORY and frame.f_globals["__name__"].startswith("dagster."):
            return True
    return False


def _given_class(declared: type) -> type | None:
    """The class of what a resource or an IO manager gives to assets; None where only a run can tell."""
    factories: Sequence[tuple[type, str]] = [
        (dg.ConfigurableIOManager, "create_io_manager"),
        (dg.ConfigurableIOManagerFactory, "create_io_manager"),
        (dg.ConfigurableResource, "create_resource"),
    ]
    for base, method in factories:
        if not issubclass(declared, base):
            continue
        create = getattr(declared, method)
        if base is not dg.ConfigurableIOManagerFactory and create is getattr(base, method):
            return declared  # it gives itself
        try:
            given = get_type_hints(create).get("return")
        except (NameError, TypeError):  # names that only type checkers import
            return None
        return given if isinstance(given, type) else None
    return None
