"""Expressions over a table, and the plans of their cells."""

from typing import Any

from pxt_assets import Table
from pxt_assets.compute.partition.plan import Plan
from pxt_assets.expressions.walk import type_of
from pxt_assets.functions import chat_completions

TBL = Table("tickets")


def plan(expr: Any) -> Plan:
    return Plan(expr, type_of(expr)[0])


def chat(content: Any = TBL.body, **arguments: Any) -> Any:
    return chat_completions([{"role": "user", "content": content}], **{"model": "m", **arguments})
