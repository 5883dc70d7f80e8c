"""What the tools give that a model's answers call: results, errors, and what is run again."""

import asyncio
import json
import threading
from typing import Any

import dagster as dg
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table, tool, tools, udf
from pxt_assets.errors import DefinitionError
from pxt_assets.functions import invoke_tools
from pxt_assets.values.types import Json
from tests.functions.called_tools import CALLED, TOOLS, Call, asks, calling, get_weather
from tests.runs import failure, materialize, metadata, rows_asset, stored, values
from tests.scripted_server import chat, refusal, resource_of


@pytest.fixture(autouse=True)
def _forget() -> None:
    CALLED.clear()


def run(
    store: ColumnStore,
    openai: OpenAIResource,
    texts: list[Any],
    *,
    api: str = "chat",
    given: Any = TOOLS,
    fails: bool = False,
    **options: Any,
) -> dg.ExecuteInProcessResult:
    """Materializes answers to the texts, and what their calls give."""
    upstream = rows_asset({"id": range(len(texts)), "body": texts})
    table = Table(upstream, key="id")
    table.add_computed_column(response=asks(api, table, given), on_error="ignore")
    table.add_computed_column(found=invoke_tools(given, table.response), **options)
    return materialize([upstream, *table.assets], store, openai, fails=fails)


def found(store: ColumnStore) -> list[Any]:
    return [None if cell is None else json.loads(cell) for cell in values(store, "tickets/found")]


def errors(store: ColumnStore) -> list[Any]:
    table = stored(store, "tickets/found")
    return list(zip(table["found_errortype"].to_pylist(), table["found_errormsg"].to_pylist(), strict=True))


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_the_calls_of_an_answer_are_run(api: str, store: ColumnStore, serve: Any) -> None:
    """Results stand by tool in the order of the calls, null where a tool was not called."""
    weather = [("get_weather", {"city": "Bonn"}), ("get_weather", {"city": "Oslo", "unit": "F"})]
    server = serve(calling({"a": [*weather, ("get_time", {"zone": "CET"})], "b": weather[:1]}))
    run(store, resource_of(server), ["a", "b", "c"], api=api)
    assert found(store) == [
        {"get_weather": ["20 C in Bonn", "20 F in Oslo"], "get_time": [{"zone": "CET"}]},
        {"get_weather": ["20 C in Bonn"], "get_time": None},
        {"get_weather": None, "get_time": None},
    ]


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_the_simulators_calls_can_be_run(api: str, store: ColumnStore, simulated: OpenAIResource) -> None:
    """Its answers call tools with arguments that fit."""
    seen: list[str] = []

    def look(word: str, times: int) -> int:
        """Looks a word up."""
        seen.append(word)
        return times

    given = tools(look)
    upstream = rows_asset({"id": [1], "body": ["Look it up."]})
    table = Table(upstream, key="id")
    answer = asks(api, table, given)
    answer._arguments["model"] = "gpt-4o-mini"
    answer._arguments["tool_choice"] = "required"
    table.add_computed_column(found=invoke_tools(given, answer))
    materialize([upstream, *table.assets], store, simulated)
    ((result,),) = [cell["look"] for cell in found(store)]
    assert isinstance(result, int)
    assert len(seen) == 1


def test_a_result_can_be_reached_by_a_path(store: ColumnStore, serve: Any) -> None:
    """Null for a row whose answer did not call the tool."""
    server = serve(calling({"a": [("get_weather", {"city": "Bonn"})]}))
    upstream = rows_asset({"id": [1, 2], "body": ["a", "b"]})
    table = Table(upstream, key="id")
    table.add_computed_column(found=invoke_tools(TOOLS, asks("chat", table)))
    table.add_computed_column(weather=table.found.get_weather[0])
    materialize([upstream, *table.assets], store, resource_of(server))
    assert [v and json.loads(v) for v in values(store, "tickets/weather")] == ["20 C in Bonn", None]


def test_the_chat_can_stand_inside(store: ColumnStore, serve: Any) -> None:
    """A nested call is one column, whose rows ask once."""
    server = serve(calling({"a": [("get_weather", {"city": "Bonn"})]}))
    upstream = rows_asset({"id": [1, 2], "body": ["a", None]})
    table = Table(upstream, key="id")
    table.add_computed_column(weather=invoke_tools(TOOLS, asks("chat", table)).get_weather[0])
    assets = [upstream, *table.assets]
    materialize(assets, store, resource_of(server))
    assert values(store, "tickets/weather") == ['"20 C in Bonn"', None]
    again = materialize(assets, store, resource_of(server))
    assert metadata(again, "tickets/weather")["pxt/rows_reused"] == 1
    assert len(server.asked) == 1


def test_no_answer_has_no_results(store: ColumnStore, serve: Any) -> None:
    """The cell is null where the text was, and where the answer is an error."""
    server = serve(lambda asked: refusal(400) if asked.text == "bad" else chat(asked))
    result = run(store, resource_of(server), [None, "bad", "a"])
    assert found(store) == [None, None, {"get_weather": None, "get_time": None}]
    assert errors(store) == [(None, None)] * 3
    assert metadata(result, "tickets/found")["pxt/requests"] == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (("get_weather", {}), "get_weather: ValueError: the arguments do not fit: city: Field required"),
        (("get_weather", {"city": "Atlantis"}), "get_weather: ValueError: no city Atlantis"),
        (
            ("get_weather", {"city": "Bonn", "when": "now"}),
            "get_weather: ValueError: the arguments do not fit: when: Extra inputs are not permitted",
        ),
        (("get_weather", "{'city'"), "get_weather: ValueError: the arguments do not fit: Invalid JSON"),
    ],
    ids=["missing", "raises", "extra", "no JSON"],
)
def test_a_call_that_fails_is_the_rows_error(
    call: Call, message: str, store: ColumnStore, serve: Any
) -> None:
    """It names the tool; what the other calls gave is stored beside it."""
    server = serve(calling({"a": [("get_time", {"zone": "CET"}), call]}))
    run(store, resource_of(server), ["a"], on_error="ignore")
    assert found(store) == [{"get_weather": [None], "get_time": [{"zone": "CET"}]}]
    ((errortype, text),) = errors(store)
    assert errortype == "ToolError"
    assert text.startswith(message)


def test_a_tool_that_is_not_there_is_the_rows_error(store: ColumnStore, serve: Any) -> None:
    """Models make names up."""
    server = serve(calling({"a": [("get_news", {}), ("get_weather", {"city": "Bonn"})]}))
    run(store, resource_of(server), ["a"], on_error="ignore")
    assert found(store) == [{"get_weather": ["20 C in Bonn"], "get_time": None}]
    assert errors(store) == [("ToolError", "get_news: there is no such tool, only get_weather, get_time")]


def test_a_failed_run_names_the_tool(store: ColumnStore, serve: Any) -> None:
    """With on_error="abort", beside the row and the asset."""
    server = serve(calling({"a": [("get_weather", {"city": "Atlantis"})]}))
    result = run(store, resource_of(server), ["a"], fails=True)
    said = failure(result).description
    assert said.startswith(
        "tickets/found: 1 of 1 rows failed: id=0: ToolError: get_weather: ValueError: no city Atlantis"
    )


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError(), KeyboardInterrupt()], ids=repr)
def test_whatever_a_tool_raises_the_run_goes_on(error: BaseException, store: ColumnStore, serve: Any) -> None:
    """What would end a program included, of sync and async tools."""

    def leave() -> str:
        raise error

    async def leave_later() -> str:
        raise error

    server = serve(calling({"a": [("leave", {}), ("leave_later", {})]}))
    run(store, resource_of(server), ["a", "b"], given=tools(leave, leave_later), on_error="ignore")
    assert found(store) == [{"leave": [None], "leave_later": [None]}, {"leave": None, "leave_later": None}]
    text = errors(store)[0][1]
    assert text.count(f"RuntimeError: it raised {type(error).__name__}") == 2


def test_only_rows_that_failed_are_run_again(store: ColumnStore, serve: Any, monkeypatch: Any) -> None:
    """Their tools may be mended; nothing is asked of the API again."""
    calls = {text: [("get_weather", {"city": text})] for text in ("Bonn", "Atlantis", "Oslo")}
    server = serve(calling(calls))
    run(store, resource_of(server), list(calls), on_error="ignore")
    assert sorted(CALLED) == ["Atlantis", "Bonn", "Oslo"]
    CALLED.clear()
    monkeypatch.setattr("tests.functions.called_tools.NO_CITY", set())
    run(store, resource_of(server), list(calls), on_error="ignore")
    assert CALLED == ["Atlantis"]
    assert [cell["get_weather"] for cell in found(store)] == [
        ["20 C in Bonn"],
        ["20 C in Atlantis"],
        ["20 C in Oslo"],
    ]
    assert errors(store) == [(None, None)] * 3
    assert len(server.asked) == 3


def test_a_changed_tool_runs_every_row_again(store: ColumnStore, serve: Any) -> None:
    """By its function as by its description; unchanged ones run none."""

    def made(answer: int) -> Any:
        def count() -> int:
            return answer

        return tools(count)

    server = serve(calling({"a": [("count", {})]}))
    for answer in (1, 1, 2):
        run(store, resource_of(server), ["a"], given=made(answer))
        assert found(store) == [{"count": [answer]}]
    assert len(server.asked) == 1


def test_tools_run_at_once(store: ColumnStore, serve: Any) -> None:
    """The sync and the async ones of one answer each wait for the other."""
    barrier = threading.Barrier(2)

    def meet() -> bool:
        return barrier.wait(timeout=10) >= 0

    async def meet_later() -> bool:
        return await asyncio.to_thread(barrier.wait, 10) >= 0

    server = serve(calling({"a": [("meet", {}), ("meet_later", {})]}))
    run(store, resource_of(server), ["a"], given=tools(meet, meet_later))
    assert found(store) == [{"meet": [True], "meet_later": [True]}]


def test_a_udf_is_a_tool(store: ColumnStore, serve: Any) -> None:
    """By its own name, or another."""

    @udf
    def words(text: str) -> int:
        return len(text.split())

    given = tools(words, tool(words, name="count"))
    server = serve(calling({"a": [("words", {"text": "a b"}), ("count", {"text": "a"})]}))
    run(store, resource_of(server), ["a"], given=given)
    assert found(store) == [{"words": [2], "count": [1]}]


def test_a_udf_with_fixed_arguments_is_no_tool() -> None:
    """A model would be told of the arguments that are fixed."""

    @udf
    def repeat(text: str, times: int) -> str:
        return text * times

    with pytest.raises(DefinitionError, match=r"got repeat with times fixed by using\(\.\.\.\)"):
        tools(repeat.using(times=2))


@pytest.mark.parametrize(
    "answer",
    [{"error": {"message": "no"}}, {"choices": 1}, "text", [1]],
    ids=["error", "choices", "text", "list"],
)
def test_a_column_that_holds_no_answers(answer: Any, store: ColumnStore) -> None:
    """Is the row's error, unless it could be an answer without calls."""
    upstream = rows_asset({"id": [1], "body": [json.dumps(answer)]})
    table = Table(upstream, key="id", schema={"body": Json})
    table.add_computed_column(found=invoke_tools(TOOLS, table.body), on_error="ignore")
    materialize([upstream, *table.assets], store)
    if isinstance(answer, dict) and "choices" in answer:
        assert found(store) == [{"get_weather": None, "get_time": None}]
    else:
        ((errortype, text),) = errors(store)
        assert errortype == "ValueError"
        assert text.startswith("invoke_tools: got ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([get_weather], "response"), "invoke_tools: got list as tools, allowed: what tools(f, g) gave"),
        ((TOOLS, {}), "invoke_tools: got dict as response, allowed: a column of a model's answers"),
    ],
)
def test_a_wrong_call_says_what_to_write(arguments: tuple[Any, Any], message: str) -> None:
    """While definitions load."""
    with pytest.raises(DefinitionError) as caught:
        invoke_tools(*arguments)
    assert message in str(caught.value)
