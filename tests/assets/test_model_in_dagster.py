"""The life of a partitioned column as Dagster sees it: what is asked, and which versions are recorded."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pxt_assets import ColumnStore, Table
from pxt_assets.functions import chat_completions
from tests.runs import MODEL, materialize, values
from tests.scripted_server import Asked, Reply, ScriptedServer, chat, resource_of

PARTITIONS = ("a", "b")
COLUMN = dg.AssetKey(["tickets", "c"])


@dataclass(frozen=True)
class Step:
    """One run of the column, after an edit of the table and of the column's declaration."""

    partition: str
    texts: tuple[str | None, ...]
    prompt: str
    description: str
    refresh: bool


steps = st.builds(
    Step,
    st.sampled_from(PARTITIONS),
    st.lists(st.sampled_from(["tent", "stove", "rope", None]), max_size=4).map(tuple),
    st.sampled_from(["Sort.", "Sum up."]),
    st.sampled_from(["What it is about.", "Its topic."]),
    st.booleans(),
)


def versions(result: dg.ExecuteInProcessResult) -> tuple[str, str]:
    """The data version and the code version that Dagster has recorded of the column."""
    (found,) = [
        event.materialization
        for event in result.get_asset_materialization_events()
        if event.asset_key == COLUMN
    ]
    tags = found.tags or {}
    return tags["dagster/data_version"], tags["dagster/code_version"]


def test_what_dagster_is_told_follows_from_what_is_stored(
    server: ScriptedServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Only what is missing is asked; data versions tell contents apart, code versions prompts, descriptions nothing."""

    @settings(
        max_examples=3,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(st.lists(steps, min_size=4, max_size=6))
    def live(life: list[Step]) -> None:
        _live(life, server, tmp_path_factory.mktemp("life"))

    live()


def _live(life: list[Step], server: ScriptedServer, folder: Path) -> None:
    store = ColumnStore(base_path=str(folder))
    openai = resource_of(server)
    generation = 0
    stored: dict[str, dict[tuple[str, str], int]] = {partition: {} for partition in PARTITIONS}
    data_versions: dict[tuple[Any, ...], str] = {}
    code_versions: dict[str, str] = {}

    def answer(asked: Asked) -> Reply:
        return chat(asked, f"{generation}: {asked.body['messages'][0]['content']} {asked.text}")

    server.script = answer
    for step in life:
        generation += step.refresh
        server.forget()
        result = materialize(
            _assets(step),
            store,
            openai,
            partition=step.partition,
            config={"tickets/c": {"refresh": step.refresh}},
        )
        cells = {(step.prompt, text) for text in step.texts if text is not None}
        earlier = {} if step.refresh else stored[step.partition]
        assert server.texts == sorted(text for prompt, text in cells - earlier.keys())
        now = {cell: earlier.get(cell, generation) for cell in cells}
        stored[step.partition] = now
        said = [None if t is None else f"{now[step.prompt, t]}: {step.prompt} {t}" for t in step.texts]
        found = values(store, "tickets/c", step.partition)
        assert [cell and _said(cell) for cell in found] == said
        data_version, code_version = versions(result)
        assert data_versions.setdefault(tuple(said), data_version) == data_version
        assert code_versions.setdefault(step.prompt, code_version) == code_version
    assert len(set(data_versions.values())) == len(data_versions)
    assert len(set(code_versions.values())) == len(code_versions)


def _assets(step: Step) -> list[dg.AssetsDefinition]:
    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(list(PARTITIONS)), io_manager_key="columns")
    def tickets() -> pa.Table:
        return pa.table({"id": range(len(step.texts)), "body": pa.array(step.texts, pa.string())})

    table = Table(tickets, key="id")
    messages = [{"role": "system", "content": step.prompt}, {"role": "user", "content": table.body}]
    table.add_computed_column(
        c=chat_completions(messages, model=MODEL), description=step.description, owners=["team:search"]
    )
    return [tickets, *table.assets]


def _said(cell: str) -> str:
    return str(json.loads(cell)["choices"][0]["message"]["content"])
