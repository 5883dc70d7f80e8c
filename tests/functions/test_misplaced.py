"""Options of columns that are given to a call, where they would be sent to the API."""

from typing import Any

import pytest

from pxt_assets import Table, udf
from pxt_assets.errors import DefinitionError
from pxt_assets.functions import chat_completions, embeddings, image_edits, responses, speech
from tests.runs import ask

MODEL = "gpt-6-luna"


@udf
def widen(text: str, within: str, wait: int) -> str:
    return f"{text}{within}{wait}"


@pytest.mark.parametrize(
    "given",
    [
        {"within": "24h"},
        {"cache": "off"},
        {"on_error": "ignore"},
        {"max_cost_usd": 3},
        {"model_kwargs": {"within": "24h"}},
    ],
)
@pytest.mark.parametrize("function", [chat_completions, embeddings.using(), responses])
def test_an_option_in_a_call_is_told_to_stand_beside_it(function: Any, given: dict[str, Any]) -> None:
    """It would be sent, and refused row by row, or be ignored at the full price."""
    ((name, value),) = given.get("model_kwargs", given).items()
    first = "messages" if function is chat_completions else "input"
    place = rf"beside the call: add_computed_column\(name={function.name}\(\.\.\.\), {name}={value!r}\)"
    with pytest.raises(
        DefinitionError, match=rf"^{function.name}: got .*{name}.* no argument of the API.*{place}"
    ):
        function(**{first: "Hello"}, model=MODEL, **given)


def test_fixed_by_using_it_is_refused_too() -> None:
    with pytest.raises(DefinitionError, match="beside the call"):
        embeddings.using(model=MODEL, within="24h")("Hello")


@pytest.mark.parametrize("within", ["1h", "8h", 24])
def test_a_time_that_the_function_has_not_is_answered_with_what_it_has(within: Any) -> None:
    with pytest.raises(DefinitionError, match=r"leave it out.*option of the column: within='24h'$"):
        ask("Hello", within=within)
    with pytest.raises(DefinitionError, match="speech answers now, and has no cheaper way"):
        speech("Hello", model="tts-1", voice="alloy", within=within)


@pytest.mark.parametrize("given", [{"wait": True}, {"model_kwargs": {"wait": False}}])
def test_waiting_is_told_to_be_said_in_the_run_config(given: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match=r"wait.* run config: wait: true or false"):
        ask("Hello", **given)


def test_the_option_of_an_asset_that_is_said_in_the_run_config_tells_so() -> None:
    table = Table("tickets")
    with pytest.raises(DefinitionError, match=r"got wait=True, which is no option; .* a run's config says"):
        chat_completions.asset(name="c", table=table, messages=[], model=MODEL, wait=True)


@pytest.mark.parametrize(
    "given",
    [
        {"metadata": {"a": "b"}},
        {"prompt_cache_key": "tickets"},
        {"cache": {"no-cache": True}},
        {"tags": ["a"]},
        {"model_kwargs": {"cache": "off"}},
    ],
)
def test_arguments_of_the_api_and_of_servers_before_it_are_sent(given: dict[str, Any]) -> None:
    """`metadata` is OpenAI's; a proxy's `cache` is a dict."""
    body = chat_completions([], model=MODEL, **given)
    request: Any = body._function.cell_request(body._arguments)
    assert given.get("model_kwargs", given).items() <= request.body.items()


def test_a_function_of_ones_own_may_have_arguments_of_these_names() -> None:
    table = Table("tickets")
    call = widen(table.body, within="24h", wait=1)
    assert call._arguments["within"] == "24h"


def test_a_column_of_the_table_is_no_time_either() -> None:
    table = Table("tickets")
    with pytest.raises(DefinitionError, match="leave it out"):
        image_edits(table.image, prompt="x", model="gpt-image-2", within=table.within)
