"""A table with a column of answers in a form, and what a server says instead."""

import json
from collections.abc import Callable
from typing import Any

import dagster as dg
from pydantic import BaseModel

from pxt_assets import ColumnStore, Table
from pxt_assets.functions import chat_completions, responses
from tests.runs import materialize, rows_asset, stored
from tests.scripted_server import Asked, Reply, ScriptedServer, resource_of


class Word(BaseModel):
    word: str


Call = Callable[..., Any]
APIS = ["chat", "responses"]


def call(api: str, table: Table, form: Any, **arguments: Any) -> Any:
    """A call that asks for answers of a form, in `model_kwargs`."""
    if api == "chat":
        messages = [{"role": "user", "content": table.body}]
        kwargs = {} if form is None else {"response_format": form}
        return chat_completions(messages, model="m", model_kwargs=kwargs, **arguments)
    kwargs = {} if form is None else {"text": {"format": form}}
    return responses(table.body, model="m", model_kwargs=kwargs, **arguments)


def choice(finish_reason: str = "stop", **message: Any) -> Reply:
    """An answer of chat completions."""
    choices = [{"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", **message}}]
    return Reply({"id": "c", "model": "m", "choices": choices})


def output(*content: Any, status: str = "completed", reason: str | None = None) -> Reply:
    """An answer of the Responses API, one message of these parts."""
    message = {"type": "message", "role": "assistant", "content": list(content)}
    details = {"reason": reason} if reason else None
    return Reply(
        {"id": "r", "model": "m", "status": status, "incomplete_details": details, "output": [message]}
    )


def text(said: str) -> dict[str, Any]:
    return {"type": "output_text", "text": said, "annotations": []}


def saying(api: str, said: str) -> Reply:
    """An answer that is this text."""
    return choice(content=said) if api == "chat" else output(text(said))


class Tickets:
    """A table `tickets` with a column `c` of answers of one form."""

    def __init__(self, store: ColumnStore, serve: Any) -> None:
        self.store = store
        self._serve = serve

    def run(
        self,
        api: str,
        reply: Reply | Callable[[Asked], Reply],
        form: Any,
        fails: bool = False,
        texts: tuple[str | None, ...] = ("a",),
        **arguments: Any,
    ) -> tuple[dg.ExecuteInProcessResult, ScriptedServer]:
        """Materializes both; the server gives the reply."""
        server = self._serve(reply if callable(reply) else lambda asked: reply)
        upstream = rows_asset({"id": range(len(texts)), "body": list(texts)})
        table = Table(upstream, key="id")
        table.add_computed_column(
            c=call(api, table, form, **arguments), on_error="abort" if fails else "ignore"
        )
        result = materialize([upstream, *table.assets], self.store, resource_of(server), fails=fails)
        return result, server

    @property
    def parsed(self) -> list[Any]:
        """What stands at `parsed`, None where there is no value."""
        cells = stored(self.store, "tickets/c")["c"].to_pylist()
        return [None if cell is None else json.loads(cell)["parsed"] for cell in cells]

    @property
    def errors(self) -> list[tuple[Any, Any]]:
        table = stored(self.store, "tickets/c")
        return list(zip(table["c_errortype"].to_pylist(), table["c_errormsg"].to_pylist(), strict=True))
