"""What is sent of tools and of the choice among them, in either API's form."""

from typing import Any

import pytest

from pxt_assets import ColumnStore, Table, tool, tools
from pxt_assets.functions import chat_completions, responses
from tests.functions.called_tools import TOOLS, asks, calling, get_time, get_weather
from tests.runs import materialize, rows_asset
from tests.scripted_server import ScriptedServer, resource_of


def sent(server: ScriptedServer, name: str) -> list[Any]:
    return [asked.body.get(name) for asked in server.asked]


class TestWhatIsSent:
    @pytest.mark.parametrize("api", ["chat", "responses"])
    @pytest.mark.parametrize(
        "given",
        [TOOLS, [get_weather, get_time], (tool(get_weather), get_time), [TOOLS], list(TOOLS)],
        ids=["tools", "functions", "both", "nested", "list"],
    )
    def test_tools_are_sent_in_the_apis_form(
        self, given: Any, api: str, store: ColumnStore, serve: Any
    ) -> None:
        """Nested for chat completions, flat for responses, however they are given."""
        server = serve(calling({}))
        upstream = rows_asset({"id": [1], "body": ["a"]})
        table = Table(upstream, key="id")
        table.add_computed_column(c=asks(api, table, given))
        materialize([upstream, *table.assets], store, resource_of(server))
        assert sent(server, "tools") == [getattr(TOOLS, api)]

    @pytest.mark.parametrize("api", ["chat", "responses"])
    def test_the_apis_own_definitions_stay_as_they_are(
        self, api: str, store: ColumnStore, serve: Any
    ) -> None:
        """Beside functions."""
        own = {"type": "web_search", "filters": {"z": 1, "a": 2}}
        server = serve(calling({}))
        upstream = rows_asset({"id": [1], "body": ["a"]})
        table = Table(upstream, key="id")
        table.add_computed_column(c=asks(api, table, [own, get_weather]))
        materialize([upstream, *table.assets], store, resource_of(server))
        assert sent(server, "tools") == [[own, *getattr(tools(get_weather), api)]]

    @pytest.mark.parametrize(
        ("choice", "chat_form", "responses_form", "parallel"),
        [
            (TOOLS.choice(auto=True), "auto", "auto", None),
            (TOOLS.choice(required=True, parallel_tool_calls=False), "required", "required", False),
            (
                TOOLS.choice(tool="get_time"),
                {"type": "function", "function": {"name": "get_time"}},
                {"type": "function", "name": "get_time"},
                None,
            ),
            ("none", "none", "none", None),
        ],
        ids=["auto", "required", "tool", "own"],
    )
    @pytest.mark.parametrize("api", ["chat", "responses"])
    def test_a_choice_is_sent_in_the_apis_form(
        self,
        choice: Any,
        chat_form: Any,
        responses_form: Any,
        parallel: Any,
        api: str,
        store: ColumnStore,
        serve: Any,
    ) -> None:
        """With `parallel_tool_calls` where that is not to be as it is by default."""
        server = serve(calling({}))
        upstream = rows_asset({"id": [1], "body": ["a"]})
        table = Table(upstream, key="id")
        function = {"chat": chat_completions, "responses": responses}[api]
        given = (
            {"messages": [{"role": "user", "content": table.body}]}
            if api == "chat"
            else {"input": table.body}
        )
        table.add_computed_column(c=function(**given, model="m", tools=TOOLS, tool_choice=choice))
        materialize([upstream, *table.assets], store, resource_of(server))
        assert sent(server, "tool_choice") == [chat_form if api == "chat" else responses_form]
        assert sent(server, "parallel_tool_calls") == [parallel]
