"""Columns of each kind, and some that fail, for the pages that a browser looks at."""

import os
from pathlib import Path
from typing import Any, Literal

import dagster as dg
import pyarrow as pa
from pydantic import BaseModel

from pxt_assets import ColumnStore, EmbeddingIndexes, OpenAIResource, Table, tools, udf
from pxt_assets.functions import (
    chat_completions,
    embeddings,
    image_generations,
    invoke_tools,
    moderations,
    speech,
    transcriptions,
)

MODEL = "gpt-6-luna"
DAYS = [f"2026-11-{day}" for day in range(21, 31)]
BODIES = [
    "My parcel has not arrived, and the tracking page says nothing for a week now.",
    "The lamp came broken. I would like my money back, please.",
    None,
    "How do I change the address of my account?",
]
STORE = Path(os.environ["PXT_DEMO_STORE"])


class Triage(BaseModel):
    """What a ticket is about."""

    topic: Literal["delivery", "defect", "question"]
    urgent: bool


@udf
def order_status(order: str) -> str:
    """How far an order is.

    Args:
        order: The number of the order.
    """
    return f"{order} is on its way"


@udf
def checked(text: str) -> str:
    """The text, unless it is about a lamp."""
    if "lamp" in text:
        msg = "no lamps"
        raise ValueError(msg)
    return text


@dg.asset(key="days", partitions_def=dg.StaticPartitionsDefinition(DAYS), io_manager_key="columns")
def days(context: dg.AssetExecutionContext) -> Any:
    tables = {
        key: pa.table({"id": [1, 2, 3], "body": [key, None, "lamp" if key in DAYS[5:7] else "desk"]})
        for key in context.partition_keys
    }
    return tables if len(tables) > 1 else next(iter(tables.values()))


@dg.asset(key="tickets", io_manager_key="columns")
def tickets() -> pa.Table:
    return pa.table({"id": [f"T-10{row}" for row in range(len(BODIES))], "body": BODIES})


def _said(content: Any, **arguments: Any) -> Any:
    return chat_completions([{"role": "user", "content": content}], model=MODEL, **arguments)


def _day_columns() -> Table:
    table = Table(days, key="id")
    table.add_computed_column(strict=checked(table.body))
    table.add_computed_column(lenient=checked(table.body), on_error="ignore")
    table.add_computed_column(answer=_said(table.body))
    return table


def _kinds() -> Table:
    table = Table(tickets, key="id")
    vectors = embeddings.using(model="text-embedding-3-small")
    index = table.add_embedding_index(table.body, embedding=vectors)
    order = tools(order_status)
    table.add_computed_column(answer=_said(table.body))
    table.add_computed_column(text=table.answer.choices[0].message.content)
    table.add_computed_column(triage=_said(table.body, model_kwargs={"response_format": Triage}))
    table.add_computed_column(called=_said(table.body, tools=order, tool_choice=order.choice(required=True)))
    table.add_computed_column(told=invoke_tools(order, table.called))
    table.add_computed_column(similar=index.search(table.body, k=2, columns=["body"]))
    table.add_computed_column(judged=moderations(table.body, model="omni-moderation-latest"))
    table.add_computed_column(vector=vectors(table.body))
    table.add_computed_column(picture=image_generations(table.body, model="gpt-image-1"))
    table.add_computed_column(sound=speech(table.body, model="gpt-4o-mini-tts", voice="alloy"))
    table.add_computed_column(heard=transcriptions(table.sound, model="gpt-4o-mini-transcribe"))
    return table


def _resources() -> dict[str, Any]:
    openai = OpenAIResource.simulated()
    return {
        "openai": openai,
        "columns": ColumnStore(base_path=str(STORE)),
        "indexes": EmbeddingIndexes(base_path=str(STORE / "indexes"), openai=openai),
    }


defs = dg.Definitions(
    assets=[days, tickets, *_day_columns().assets, *_kinds().assets], resources=_resources()
)
