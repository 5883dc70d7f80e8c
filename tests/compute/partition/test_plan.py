"""A row's cell, from the requests that its columns make to the value that their answers give."""

import asyncio
import datetime
import math
from collections.abc import Callable
from typing import Any

import pytest

from pxt_assets.api.request import Request
from pxt_assets.compute.partition.plan import Plan, ReadyCall
from pxt_assets.errors import CellError
from pxt_assets.functions import chat_completions, embeddings, moderations
from pxt_assets.values.types import Array, Int, Json, String
from tests.compute.partition.plans import TBL, chat, plan


def said(text: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"content": text}}]}


class FakeApi:
    """Answers requests at once, and keeps them."""

    def __init__(self, answer: Callable[[Request], Any]) -> None:
        self.requests: list[Request] = []
        self._answer = answer

    async def __call__(self, request: Request) -> Any:
        self.requests.append(request)
        return self._answer(request)


def finish(expr: Any, row: tuple[Any, ...], answer: Callable[[Request], Any] = lambda _request: None) -> Any:
    compiled = plan(expr)
    return asyncio.run(compiled.finish(compiled.prepare(row), FakeApi(answer)))


class TestPrepare:
    def test_a_call_of_columns_is_its_request(self):
        """A row's values stand where the columns stood; nothing is sent yet."""
        prepared = plan(chat(temperature=TBL.heat)).prepare(("Hello", 0.5))
        assert isinstance(prepared, ReadyCall)
        assert prepared.request.body == {
            "messages": [{"role": "user", "content": "Hello"}],
            "model": "m",
            "temperature": 0.5,
        }

    def test_columns_are_asked_for_once_in_order_of_use(self):
        """A row is given in that order."""
        compiled = plan({"a": TBL.x, "b": [TBL.y.z, TBL.x]})
        assert [ref._column for ref in compiled.columns] == ["x", "y"]
        assert compiled.prepare((1, {"z": 2})) == {"a": 1, "b": [2, 1]}
        assert not compiled.calls_functions

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            (TBL.r.a[0].b, 1),
            (TBL.r.a[-1].b, 2),
            (TBL.r["a"]["*"]["b"], [1, None, 2]),
            (TBL.r.a[1:].b, [None, 2]),
            (TBL.r["_id"], 7),
            (TBL.r.nothing[0], None),
        ],
    )
    def test_paths_lead_into_a_columns_value(self, path, value):
        """A path that the row lacks is null."""
        row = ({"a": [{"b": 1}, {}, {"b": 2}], "_id": 7},)
        assert plan(path).prepare(row) == value

    def test_a_null_row_has_null_paths(self):
        """The path of nothing is nothing."""
        assert plan(TBL.r.a[0].b).prepare((None,)) is None


class TestNulls:
    @pytest.mark.parametrize(
        ("expr", "row"),
        [
            (embeddings(TBL.body, model="m"), (None,)),
            (embeddings("text", model=TBL.model), (None,)),
            (chat(), (None,)),
            (chat([{"type": "text", "text": TBL.body}, {"type": "text", "text": TBL.more}]), ("x", None)),
            (chat(TBL.r.text), ({"other": 1},)),
            (chat_completions(TBL.messages, model="m"), (None,)),
        ],
    )
    def test_a_null_in_a_required_input_is_null_without_a_request(self, expr, row):
        """However deep in the template the column stands."""
        assert plan(expr).prepare(row) is None

    def test_a_null_in_an_optional_input_is_left_out(self):
        """The API's default is asked for."""
        expr = chat(temperature=TBL.heat, model_kwargs={"seed": TBL.seed}, tools=TBL.tools)
        assert plan(expr).prepare(("x", None, None, None)).request.body.keys() == {"messages", "model"}

    def test_literal_nulls_are_kept(self):
        """An assistant's message that calls a tool has no content, and the row is no null."""
        messages = [{"role": "assistant", "content": None}, {"role": "user", "content": TBL.body}]
        prepared = plan(chat_completions(messages, model="m")).prepare(("x",))
        assert prepared.request.body["messages"][0] == {"role": "assistant", "content": None}

    def test_nulls_inside_a_json_value_are_kept(self):
        """Messages may come whole from a column; a null inside them is the data's own."""
        messages = [{"role": "assistant", "content": None, "tool_calls": []}]
        prepared = plan(chat_completions(TBL.messages, model="m")).prepare((messages,))
        assert prepared.request.body["messages"] == messages

    def test_nulls_in_a_template_are_kept(self):
        """A template of columns is a value, not a call."""
        assert plan({"a": TBL.x, "b": [TBL.y]}).prepare((None, None)) == {"a": None, "b": [None]}

    def test_a_call_that_is_null_is_null_in_a_template(self):
        """The other parts of the template are computed."""
        assert finish({"n": TBL.n, "r": chat()}, (1, None)) == {"n": 1, "r": None}

    @pytest.mark.parametrize(
        "expr",
        [
            embeddings(chat().choices[0].message.content, model="m"),
            embeddings(chat(), model="m"),
            chat([chat(), "text"]),
        ],
    )
    def test_a_call_that_needs_a_null_call_is_null(self, expr):
        """Nothing is asked, neither inside nor outside."""
        assert plan(expr).prepare((None,)) is None


class TestErrors:
    def test_a_value_that_a_function_cannot_take_is_the_rows_error(self):
        """It names the function, the argument, what was got and what is allowed."""
        with pytest.raises(CellError, match=r"embeddings: input: got int 3, allowed: text or null") as e:
            plan(embeddings(TBL.n, model="m")).prepare((3,))
        assert e.value.errortype == "TypeError"

    @pytest.mark.parametrize("expr", [TBL.r, TBL.r.x, {"a": [TBL.r]}, chat(TBL.r), chat(temperature=TBL.r)])
    def test_an_error_in_an_input_is_the_rows_error(self, expr):
        """A cell that could not be read fails whatever uses it."""
        error = CellError("TypeError", "got text that is not JSON")
        with pytest.raises(CellError) as e:
            plan(expr).prepare(tuple(error if ref._column == "r" else "x" for ref in plan(expr).columns))
        assert e.value is error

    @pytest.mark.parametrize(
        ("path", "column_type", "value", "message"),
        [
            (TBL.r, String, 3, "got int '3', allowed: String or null"),
            (TBL.r, Int, "3", "got str '3', allowed: Int or null"),
            (TBL.r, Array[(2,), "float32"], [1.0], r"allowed: Array\[\(2,\), float32\] or null"),
            (TBL.r, Json, math.nan, "JSON cannot hold"),
        ],
    )
    def test_a_value_of_another_type_is_the_rows_error(self, path, column_type, value, message):
        """The message names what was got and the column's type."""
        compiled = Plan(path, column_type)
        with pytest.raises(CellError, match=message):
            compiled.check_value(compiled.prepare((value,)))

    def test_an_answer_of_another_type_is_the_rows_error(self):
        """A documented field may hold something else on another server."""
        with pytest.raises(CellError, match=r"got list .*allowed: String or null"):
            finish(chat().choices[0].message.content, ("x",), lambda _: said(["part"]))

    def test_an_answer_that_json_cannot_hold_is_the_rows_error(self):
        """One such answer must not keep all others from being stored."""
        with pytest.raises(CellError, match="JSON cannot hold"):
            finish(chat(), ("x",), lambda _: {"choices": [math.nan]})

    def test_an_unknown_type_holds_anything(self):
        """A copied column keeps its values as they are."""
        value = datetime.timedelta(1)
        assert plan(TBL.x).check_value(value) is value


class TestFinish:
    def test_a_call_is_its_answer(self):
        """The value of a bare call."""
        assert finish(chat(), ("x",), lambda _: said("y")) == said("y")

    def test_a_path_leads_into_the_answer(self):
        """What it lacks is null."""
        assert finish(chat().choices[0].message.content, ("x",), lambda _: said("y")) == "y"
        assert finish(chat().choices[1].message.content, ("x",), lambda _: said("y")) is None

    def test_a_template_is_filled(self):
        """Calls, paths and columns side by side."""
        expr = {"in": TBL.body, "out": [chat().choices[0].message.content, 1, None]}
        assert finish(expr, ("x",), lambda _: said("y")) == {"in": "x", "out": ["y", 1, None]}

    def test_a_nested_call_is_made_of_the_inner_answer(self):
        """Inside first; the outer request holds what came back."""
        api = FakeApi(lambda r: said("summary") if r.endpoint.path == "/chat/completions" else [0.5])
        compiled = plan(embeddings(chat().choices[0].message.content, model="e"))
        assert asyncio.run(compiled.finish(compiled.prepare(("x",)), api)) == [0.5]
        assert [r.endpoint.path for r in api.requests] == ["/chat/completions", "/embeddings"]
        assert api.requests[1].body == {"input": "summary", "model": "e"}

    def test_an_inner_null_makes_the_outer_call_null(self):
        """A refusal has no content; the outer call is not made."""
        api = FakeApi(lambda _: said(None))
        compiled = plan(embeddings(chat().choices[0].message.content, model="e"))
        assert asyncio.run(compiled.finish(compiled.prepare(("x",)), api)) is None
        assert len(api.requests) == 1

    def test_an_inner_null_deep_in_a_required_input_counts_too(self):
        """As a column's null does; a literal null beside it does not."""
        messages = [{"role": "assistant", "content": None}, {"role": "user", "content": chat().x}]
        expr = chat_completions(messages, model="m")
        assert finish(expr, ("x",), lambda _: {"y": 1}) is None
        assert finish(expr, ("x",), lambda _: {"x": 1}) == {"x": 1}

    def test_an_inner_null_in_an_optional_input_is_left_out(self):
        """The outer call is made."""
        api = FakeApi(lambda _: {"heat": None})
        compiled = plan(chat(temperature=chat("How hot?").heat))
        asyncio.run(compiled.finish(compiled.prepare(("x",)), api))
        assert [sorted(r.body) for r in api.requests] == [["messages", "model"]] * 2

    def test_an_inner_failure_is_the_rows_error(self):
        """The outer call is not made."""

        def refuse(request: Request) -> Any:
            raise CellError("BadRequestError", "no")

        with pytest.raises(CellError, match="no"):
            finish(embeddings(chat().choices[0].message.content, model="e"), ("x",), refuse)

    def test_calls_side_by_side_are_made_together(self):
        """Neither waits for the other's answer."""

        async def run() -> Any:
            both = asyncio.Barrier(2)

            async def call(_request: Request) -> Any:
                await both.wait()
                return {"ok": True}

            compiled = plan({"a": chat(), "b": moderations(TBL.body)})
            async with asyncio.timeout(5):
                return await compiled.finish(compiled.prepare(("x",)), call)

        assert asyncio.run(run()) == {"a": {"ok": True}, "b": {"ok": True}}
