"""What a model is told of tools, and which of them it must call."""

import re

import pytest

from pxt_assets.errors import DefinitionError
from pxt_assets.local.tools import tool, tools
from tests.local.weather_tools import Place, UserFunction, fail, get_time, get_weather

PARAMETERS = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "its English name."},
        "unit": {"enum": ["C", "F"], "type": "string", "description": "of the temperature."},
    },
    "required": ["city", "unit"],
    "additionalProperties": False,
}


class TestDefinition:
    def test_chat_completions_are_told_in_the_nested_form(self):
        """Name, description, parameters, strict."""
        assert tools(get_weather).chat == [
            {
                "type": "function",
                "function": {
                    "name": "get_weather",
                    "description": "The current weather.",
                    "parameters": PARAMETERS,
                    "strict": True,
                },
            }
        ]

    def test_responses_are_told_in_the_flat_form(self):
        """The same beside `type`."""
        assert tools(get_weather).responses == [
            {"type": "function", **tools(get_weather).chat[0]["function"]},
        ]

    def test_a_parameter_with_a_default_may_be_left_out(self):
        """So it is not strict, which requires all; the Responses API must be told, since its default is strict."""
        (told,) = tools(get_time).responses
        assert told["parameters"]["required"] == []
        assert told["strict"] is False

    def test_a_description_is_left_out_where_there_is_none(self):
        """No docstring, no description."""
        assert "description" not in tools(get_time).responses[0]

    def test_name_and_description_may_be_given(self):
        """They go before those of the function, also of one that is a tool already."""
        told = tool(tool(get_weather, name="a"), name="weather", description="Weather.").definition
        assert (told["name"], told["description"]) == ("weather", "Weather.")
        assert told["parameters"] == PARAMETERS

    def test_a_user_defined_function_is_its_plain_function(self):
        """By its own name."""
        told = tool(UserFunction(get_weather)).definition
        assert (told["name"], told["parameters"]) == ("weather", PARAMETERS)

    def test_a_change_of_what_is_told_changes_no_tool(self):
        """Each time it is a copy."""
        told = tools(get_weather)
        told.chat[0]["function"]["parameters"]["properties"].clear()
        assert told.chat[0]["function"]["parameters"] == PARAMETERS

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (tools, "tools: got none; give at least one function"),
            (lambda: tools(get_weather, get_weather), "got several of the name get_weather"),
            (lambda: tool(get_weather, name="get weather"), "got the name 'get weather', allowed: 1 to 64"),
            (lambda: tool(get_weather, name="x" * 65), "allowed: 1 to 64"),
            (
                lambda: tool(lambda: 1),
                "got the name '<lambda>', allowed: 1 to 64 of a-z, A-Z, 0-9, _ and -; give name",
            ),
            (lambda: tool("get_weather"), "got 'get_weather', allowed: a Python function"),
            (lambda: tool(Place), "allowed: a Python function, sync or async, or a @udf"),
            (lambda: tool(lambda x: 1, name="f"), "tool f: the parameter x has no type hint"),
        ],
    )
    def test_what_is_no_tool_is_refused_at_once(self, make, message):
        """The message says what to give."""
        with pytest.raises(DefinitionError, match=re.escape(message)):
            make()

    def test_a_lambda_with_a_name_is_a_tool(self):
        """It has no parameters then."""
        assert tool(lambda: 1, name="one").definition["parameters"]["properties"] == {}

    def test_tools_are_a_collection(self):
        """Sized, iterable, shown by their names."""
        both = tools(get_weather, get_time)
        assert len(both) == 2
        assert [t.name for t in both] == ["get_weather", "get_time"]
        assert repr(both) == "tools(get_weather, get_time)"


class TestChoice:
    BOTH = tools(get_weather, get_time)

    @pytest.mark.parametrize("mode", ["auto", "required"])
    def test_a_mode_is_a_word(self, mode):
        """The same in both forms."""
        choice = self.BOTH.choice(**{mode: True})
        assert choice.chat == choice.responses == mode
        assert choice.parallel_tool_calls is True

    @pytest.mark.parametrize("wanted", ["get_time", get_time, list(BOTH)[1]])
    def test_one_tool_is_named(self, wanted):
        """By its name, its function, or itself."""
        choice = self.BOTH.choice(tool=wanted, parallel_tool_calls=False)
        assert choice.chat == {"type": "function", "function": {"name": "get_time"}}
        assert choice.responses == {"type": "function", "name": "get_time"}
        assert choice.parallel_tool_calls is False

    def test_a_user_defined_function_is_found(self):
        """By its object."""
        own = UserFunction(get_weather)
        assert tools(own).choice(tool=own).responses == {"type": "function", "name": "weather"}

    @pytest.mark.parametrize(
        "given", [{}, {"auto": True, "required": True}, {"auto": True, "tool": "get_time"}, {"auto": False}]
    )
    def test_exactly_one_is_given(self, given):
        """Which of two counts would be a guess."""
        with pytest.raises(DefinitionError, match="give exactly one of auto=True, required=True and tool"):
            self.BOTH.choice(**given)

    @pytest.mark.parametrize("wanted", ["weather", fail, 3])
    def test_a_tool_that_is_not_among_them_is_refused(self, wanted):
        """The message lists those that are."""
        with pytest.raises(DefinitionError, match="allowed: one of get_weather, get_time"):
            self.BOTH.choice(tool=wanted)
