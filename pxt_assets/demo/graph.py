"""The demo's asset graph: support tickets, the photos that came with them, and tickets that were solved before."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from pxt_assets.api.openai_resource import OpenAIResource
from pxt_assets.assets.automation import on_changed_inputs
from pxt_assets.assets.table import Table
from pxt_assets.demo.models import (
    CHAT_MODEL,
    DECISION_MODEL,
    EMBEDDING_MODEL,
    IMAGE_MODEL,
    MODERATION_MODEL,
    SPEECH_MODEL,
    TRANSCRIPTION_MODEL,
)
from pxt_assets.functions import (
    chat_completions,
    decisions,
    embeddings,
    image_edits,
    moderations,
    speech,
    transcriptions,
)
from pxt_assets.functions.questions import choice, predicate
from pxt_assets.index.embedding_indexes import EmbeddingIndexes
from pxt_assets.local.udf import udf
from pxt_assets.storage.store import ColumnStore
from pxt_assets.values.types import String

_DATA = glob.escape(str(Path(__file__).parent / "data"))
DEMO_TICKETS = f"{_DATA}/tickets/{{partition_key}}.csv"
DEMO_SOLVED = f"{_DATA}/solved.csv"
DEMO_PHOTOS = f"{_DATA}/photos/{{partition_key}}/*.jpg"
DEMO_DAYS = dg.DailyPartitionsDefinition("2026-03-02", end_date="2026-03-07")
INSTRUCTION = "Say in one English sentence what the customer wants. Answer with that sentence alone."
QUESTION = "Say in one English sentence what the picture shows. Answer with that sentence alone."
TRIAGE = {
    "urgent": predicate("The customer needs an answer today."),
    "topic": choice(
        "What is the ticket about?",
        {
            "delivery": "where a parcel is, when an order arrives",
            "defect": "something broke, leaks or does not work",
            "exchange": "another size or colour, a return, a refund",
            "question": "how to choose, wash, use or repair something",
            "other": "",
        },
    ),
}
BACKDROP = "Replace the background with a plain light grey studio backdrop"
GUIDELINE = (
    "Draft a reply to the customer's ticket, in its language, in at most three sentences. Follow how similar tickets were "
    "solved before, where they apply."
)
_RPM = 6_000
"""Requests/minute of each model of the simulator."""


@udf
def prompt(context: list[Any], ticket: str) -> str:
    """The prompt of a reply: similar tickets that were solved before, and the ticket itself."""
    solved = [f"Ticket: {one['body']}\nReply: {one['reply']}" for one in context]
    return "\n\n".join([*solved, f"The ticket to reply to:\n{ticket}"])


def solved_table() -> Table:
    """Tickets that were solved before, with their replies."""
    return Table.from_files(
        "solved",
        DEMO_SOLVED,
        key="id",
        schema={"body": String, "reply": String},
        group_name="tickets",
        description="Tickets that were solved before, and how.",
        automation_condition=on_changed_inputs(),
    )


def demo_tables() -> list[Table]:
    """The demo's tables; replies to tickets are drafted from the replies to similar ones."""
    solved, tickets = solved_table(), tickets_table()
    index = solved.add_embedding_index(solved.body, embedding=embeddings.using(model=EMBEDDING_MODEL))
    context = index.search(tickets.body, k=3, columns=["body", "reply"])
    tickets.add_computed_column(context=context, on_error="ignore")
    ask: Any = prompt  # whose columns stand for the values that its hints name
    messages = [
        {"role": "system", "content": GUIDELINE},
        {"role": "user", "content": ask(tickets.context, tickets.body)},
    ]
    tickets.add_computed_column(draft=chat_completions(messages, model=CHAT_MODEL), on_error="ignore")
    tickets.add_computed_column(reply=tickets.draft.choices[0].message.content)
    return [solved, tickets, photos_table()]


def tickets_table(
    files: str = DEMO_TICKETS,
    partitions_def: dg.PartitionsDefinition[Any] | None = DEMO_DAYS,
    *,
    key: str = "id",
    text: str = "body",
    description: str = "Customers' tickets, a file a day.",
    separator: str | None = None,
    encoding: str = "utf-8",
) -> Table:
    """A table of texts, summarized, embedded, moderated and sorted; the files must have the columns `key` and `text`."""
    tbl = Table.from_files(
        "tickets",
        files,
        key=key,
        schema={text: String},
        partitions_def=partitions_def,
        encoding=encoding,
        separator=separator,
        group_name="tickets",
        description=description,
        automation_condition=on_changed_inputs(),
    )
    body = tbl[text]
    messages = [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": body}]
    tbl.add_computed_column(response=chat_completions(messages, model=CHAT_MODEL), on_error="ignore")
    tbl.add_computed_column(summary=tbl.response.choices[0].message.content)
    tbl.add_computed_column(embed=embeddings(body, model=EMBEDDING_MODEL), on_error="ignore")
    tbl.add_computed_column(moderation=moderations(body, model=MODERATION_MODEL), on_error="ignore")
    tbl.add_computed_column(flagged=tbl.moderation.results[0].flagged)
    triage = decisions(body, model=DECISION_MODEL, questions=TRIAGE)
    tbl.add_computed_column(triage=triage, on_error="ignore")
    tbl.add_computed_column(urgent=tbl.triage.parsed.urgent.probability)
    tbl.add_computed_column(topic=tbl.triage.parsed.topic.choice)
    return tbl


def photos_table() -> Table:
    """A table of photos, captioned and edited; the captions are spoken and transcribed again."""
    tbl = Table.from_files(
        "photos",
        DEMO_PHOTOS,
        key="path",
        partitions_def=DEMO_DAYS,
        group_name="photos",
        description="Photos that customers sent with their tickets, a folder a day.",
        automation_condition=on_changed_inputs(),
    )
    content = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": tbl.image}]
    messages = [{"role": "user", "content": content}]
    tbl.add_computed_column(seen=chat_completions(messages, model=CHAT_MODEL), on_error="ignore")
    tbl.add_computed_column(caption=tbl.seen.choices[0].message.content)
    tbl.add_computed_column(reply=speech(tbl.caption, model=SPEECH_MODEL, voice="nova"), on_error="ignore")
    tbl.add_computed_column(heard=transcriptions(tbl.reply, model=TRANSCRIPTION_MODEL), on_error="ignore")
    tbl.add_computed_column(transcript=tbl.heard.text)
    edit = image_edits(tbl.image, prompt=BACKDROP, model=IMAGE_MODEL, quality="low")
    tbl.add_computed_column(edit=edit, on_error="ignore")
    tbl.add_computed_column(edited=tbl.edit.data[0])
    return tbl


def demo_definitions(tables: Sequence[Table], *, live: bool, store: str) -> dg.Definitions:
    """The tables' assets with the real API, or with the simulator, which needs no key and costs nothing.

    Schedules and automation are off until somebody switches them on in the UI.
    """
    without_headers = (IMAGE_MODEL, MODERATION_MODEL, SPEECH_MODEL, TRANSCRIPTION_MODEL)
    simulated = OpenAIResource.simulated(
        rpm=_RPM,
        tpm=2_000_000,
        latency=0.1,
        latency_sigma=0.3,
        rate_limits=dict.fromkeys(without_headers, _RPM),
    )
    openai = OpenAIResource() if live else simulated
    return dg.Definitions(
        assets=[asset for table in tables for asset in table.assets],
        schedules=[table.schedule("0 6 * * *") for table in tables],
        resources={
            "openai": openai,
            "columns": ColumnStore(base_path=store),
            "indexes": EmbeddingIndexes(base_path=f"{store}/indexes", openai=openai),
        },
        executor=dg.in_process_executor,  # a process for each step takes longer than the demo's steps
    )
