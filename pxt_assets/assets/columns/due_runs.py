"""Which runs collect answers that have come: of which columns and partitions, each asked for once."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

Partition = str | None
_Options = Mapping[dg.AssetKey, Mapping[str, Any]]
_Plan = tuple[tuple[dg.AssetKey, ...], _Options]
"""The columns of a run, and their run config."""
_BUDGET = "max_cost_usd"


@dataclass(frozen=True)
class Due:
    """What is there of one column: by partition a text that names it, such as the names of its batches."""

    ready: Mapping[Partition, str]
    waiting: frozenset[Partition] = frozenset()
    """Partitions of which nothing can be collected yet."""
    skipped: Mapping[Partition, frozenset[dg.AssetKey]] = field(default_factory=dict)
    """Columns downstream that runs of these partitions did not come to."""
    options: Mapping[Partition, Mapping[dg.AssetKey, Mapping[str, Any]]] = field(default_factory=dict)
    """The run config of columns, as those runs had it."""
    finished: Mapping[Partition, str] = field(default_factory=dict)
    """Partitions that those runs stored, without those columns, named as in `ready`."""

    def name_of(self, partition: Partition) -> str | None:
        """The name of what is there of a partition, None for nothing."""
        return self.ready.get(partition) or (
            None if partition in self.waiting else self.finished.get(partition)
        )

    def assets_of(self, column: dg.AssetKey, partition: Partition) -> frozenset[dg.AssetKey]:
        """What a run of the partition has to compute."""
        own = {column} if partition in self.ready else set()
        return self.skipped.get(partition, frozenset()) | own


@dataclass
class Asked:
    """The runs that were asked for, as the sensor's cursor keeps them."""

    runs: dict[str, tuple[str, float, int]] = field(default_factory=dict)
    """By column and partition, as `_key` has them: the name of what was to be collected, when it was last asked for, and how often."""
    heard: dict[str, tuple[float, bool]] = field(default_factory=dict)
    """What was heard of responses in the background, as ComingAnswers has it."""

    @classmethod
    def of_cursor(cls, cursor: str | None) -> Asked:
        """What a cursor says; nothing for one that is none of ours."""
        try:
            both = json.loads(cursor or "{}")
            heard = {str(key): (float(at), bool(ended)) for key, (at, ended) in both.get("heard", {}).items()}
            runs = {
                _key(dg.AssetKey.from_user_string(column), partition): (str(name), float(at), int(count))
                for column, partition, name, at, count in both.get("asked", ())
                if isinstance(column, str)
            }
            return cls(runs, heard)
        except (AttributeError, KeyError, TypeError, ValueError):
            return cls()

    @property
    def cursor(self) -> str:
        """As text, which the sensor's page shows."""
        asked = [
            (dg.AssetKey(path).to_user_string(), partition, name, round(at), count)
            for key, (name, at, count) in self.runs.items()
            for path, partition in (json.loads(key),)
        ]
        said = {**({"asked": asked} if asked else {}), **({"heard": self.heard} if self.heard else {})}
        return json.dumps(said, ensure_ascii=False)

    def is_due(self, key: str, name: str, now: float, again_after: float) -> bool:
        """Whether a run is to be asked for now."""
        before = self.runs.get(key)
        return before is None or before[0] != name or now - before[1] >= again_after

    def note(self, key: str, name: str, now: float) -> str:
        """Notes that it is asked for; a text that no other run has."""
        before = self.runs.get(key)
        count = before[2] + 1 if before is not None and before[0] == name else 1
        self.runs[key] = name, now, count
        return f"{name}#{count}"

    def forget_all_but(self, columns: Iterable[dg.AssetKey]) -> None:
        """Forgets the runs of other columns, of which everything is collected."""
        kept = [list(column.path) for column in columns]
        self.runs = {key: one for key, one in self.runs.items() if json.loads(key)[0] in kept}


def due_runs(
    due: Mapping[dg.AssetKey, Due],
    parents: Mapping[dg.AssetKey, frozenset[dg.AssetKey]],
    order: Sequence[Partition],
    asked: Asked,
    now: float,
    *,
    ops: Mapping[dg.AssetKey, str],
    again_after: float,
    in_ranges: bool,
) -> Iterator[dg.RunRequest]:
    """The runs to ask for; notes them in `asked`.

    Columns of one partition that are ready together are one run, so that what is made of several finds all of them; what
    is made of one that still waits is left for the run that collects that one.

    Args:
        due: what is there of each column.
        parents: of each of the table's columns and indexes, those of them that it is made of, directly.
        order: the partitions in their order, [None] for a table without.
        asked: what was asked for before.
        now: seconds since 1970.
        ops: the names of the columns' ops, by which a run config names them.
        again_after: seconds after which a run is asked for again that did not collect what it was to: it failed, or never
            began.
        in_ranges: whether a run may have several partitions, which adjacent ones then share.
    """
    plans: dict[Partition, _Plan] = {}
    names: dict[Partition, list[str]] = {}
    for partition in order:
        found = {column: one.name_of(partition) for column, one in due.items()}
        there = {column: name for column, name in found.items() if name is not None}
        new = {
            c: name for c, name in there.items() if asked.is_due(_key(c, partition), name, now, again_after)
        }
        chosen = {column: due[column].assets_of(column, partition) for column in new}
        held = {c for c, one in due.items() if partition in one.waiting and c not in new}
        selection = _without_made_of(frozenset().union(*chosen.values()), held, parents)
        if selection:
            given = {column: due[column].options.get(partition, {}) for column in new}
            options = {key: config for one in given.values() for key, config in one.items()}
            options |= {key: one[key] for key, one in given.items() if key in one}  # which knows them best
            chosen_options = {key: config for key, config in options.items() if key in selection}
            plans[partition] = tuple(sorted(selection)), chosen_options
            names[partition] = [
                asked.note(_key(column, partition), name, now)
                for column, name in new.items()
                if chosen[column] & selection
            ]
    asked.forget_all_but(due)
    for span in _spans(order, plans, in_ranges=in_ranges):
        text = json.dumps([(str(one), names[one]) for one in span])
        run_key = f"{span[0]}..{len(span)} {hashlib.blake2b(text.encode(), digest_size=12).hexdigest()}"
        chosen_keys, given_options = plans[span[0]][0], _together([plans[one][1] for one in span])
        config = {ops[key]: {"config": dict(one)} for key, one in given_options.items()}
        yield _run_request(run_key, span, chosen_keys, {"ops": config} if config else {})


def _key(column: dg.AssetKey, partition: Partition) -> str:
    return json.dumps([column.path, partition])


def _without_made_of(
    chosen: frozenset[dg.AssetKey],
    held: set[dg.AssetKey],
    parents: Mapping[dg.AssetKey, frozenset[dg.AssetKey]],
) -> frozenset[dg.AssetKey]:
    """The chosen ones that are made of none that is held, be it by others."""
    below = set(held)
    grown = True
    while grown:
        more = {one for one, made_of in parents.items() if one not in below and made_of & below}
        grown = bool(more)
        below |= more
    return chosen - below


def _spans(
    order: Sequence[Partition], plans: Mapping[Partition, _Plan], *, in_ranges: bool
) -> Iterator[list[Partition]]:
    """Adjacent partitions of which the same is to be run, or each alone."""
    span: list[Partition] = []
    for partition in order:
        here = plans.get(partition)
        if span and (here is None or not in_ranges or not _is_same(here, plans[span[-1]])):
            yield span
            span = []
        if here is not None:
            span.append(partition)
    if span:
        yield span


def _is_same(plan: _Plan, other: _Plan) -> bool:
    """Whether both are of the same columns with the same options; of budgets, whether there are any."""
    return plan[0] == other[0] and _with_budgets(plan[1]) == _with_budgets(other[1])


def _with_budgets(options: _Options, budgets: Mapping[dg.AssetKey, float | None] | None = None) -> _Options:
    """The options with other budgets of the columns that have one; without any, by default."""
    return {
        key: {**config, _BUDGET: (budgets or {}).get(key)} if config.get(_BUDGET) else config
        for key, config in options.items()
    }


def _together(options: Sequence[_Options]) -> _Options:
    """The options of a run of several partitions, each of which has a part of the budgets."""
    sums = {key: math.fsum(one[key].get(_BUDGET) or 0.0 for one in options) for key in options[0]}
    return _with_budgets(options[0], sums)


def _run_request(
    run_key: str, span: Sequence[Partition], selection: Sequence[dg.AssetKey], config: Mapping[str, Any]
) -> dg.RunRequest:
    tags: dict[str, str] = {}
    first, last = span[0], span[-1]
    if len(span) > 1:
        tags = {ASSET_PARTITION_RANGE_START_TAG: str(first), ASSET_PARTITION_RANGE_END_TAG: str(last)}
    return dg.RunRequest(
        run_key=run_key,
        run_config=config,
        asset_selection=list(selection),
        partition_key=first if len(span) == 1 else None,
        tags=tags,
    )
