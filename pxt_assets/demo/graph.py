"""The demo's asset graph: support tickets, summarized, embedded, moderated."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any

import dagster as dg

from pxt_assets.demo.models import CHAT_MODEL, EMBEDDING_MODEL, MODERATION_MODEL
from pxt_assets.functions import chat_completions, embeddings, moderations
from pxt_assets.resource import OpenAIResource
from pxt_assets.store import ColumnStore
from pxt_assets.table import Table
from pxt_assets.types import String

OWN_FILES = f"{glob.escape(str(Path(__file__).parent / 'data' / 'tickets'))}/{{partition_key}}.csv"
OWN_DAYS = dg.DailyPartitionsDefinition("2026-03-02", end_date="2026-03-07")
INSTRUCTION = "Say in one English sentence what the customer wants. Answer with that sentence alone."


def demo_table(
    files: str = OWN_FILES,
    partitions_def: dg.PartitionsDefinition[Any] = OWN_DAYS,
    *,
    key: str = "id",
    text: str = "body",
) -> Table:
    """The tickets and their computed columns; `key` and `text` name the columns that the files must have."""
    tbl = Table.from_files(
        "tickets",
        files,
        key=key,
        schema={text: String},
        partitions_def=partitions_def,
        group_name="tickets",
        description="Customers' tickets, a file a day.",
    )
    messages = [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": tbl[text]}]
    tbl.add_computed_column(response=chat_completions(messages, model=CHAT_MODEL), on_error="ignore")
    tbl.add_computed_column(summary=tbl.response.choices[0].message.content)
    tbl.add_computed_column(embed=embeddings(tbl[text], model=EMBEDDING_MODEL), on_error="ignore")
    tbl.add_computed_column(moderation=moderations(tbl[text], model=MODERATION_MODEL), on_error="ignore")
    tbl.add_computed_column(flagged=tbl.moderation.results[0].flagged)
    return tbl


def demo_definitions(table: Table, *, live: bool, store: str) -> dg.Definitions:
    """The table's assets with the real API, or with the simulator, which needs no key and costs nothing."""
    simulated = OpenAIResource.simulated(
        rpm=6_000, tpm=2_000_000, latency=0.3, latency_sigma=0.3, rate_limits={MODERATION_MODEL: 3_000}
    )
    openai = OpenAIResource() if live else simulated
    return dg.Definitions(
        assets=table.assets, resources={"openai": openai, "columns": ColumnStore(base_path=store)}
    )
