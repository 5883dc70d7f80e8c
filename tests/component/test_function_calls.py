import pytest

from pxt_assets import Table, tools
from pxt_assets.component.function_calls import declared_call
from pxt_assets.component.import_paths import make_importer
from pxt_assets.component.yaml_position import YamlPosition
from pxt_assets.errors import DefinitionError
from pxt_assets.expressions.walk import expression_text
from pxt_assets.functions import chat_completions, embeddings, invoke_tools, responses
from tests.component import shop

HERE = "tests.component.shop"
TBL = Table("tickets", key="id")
MESSAGES = [{"role": "user", "content": "$tbl.body"}]
WITH_BODY = [{"role": "user", "content": TBL.body}]
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}


def call(function: str, **arguments):
    absolute = make_importer(lambda name: f"tests.component{name}" if name.startswith(".") else name)
    return declared_call(function, arguments, TBL.__getitem__, absolute, YamlPosition(label="tickets.column"))


@pytest.mark.parametrize(
    ("declared", "written"),
    [
        (
            call("chat_completions", messages=MESSAGES, model="m", temperature=0),
            chat_completions(WITH_BODY, model="m", temperature=0),
        ),
        (call(f"{HERE}:words", text="$tbl.body"), shop.words(TBL.body)),
        (call(".shop:words", text="$tbl.body"), shop.words(TBL.body)),
        (call(f"{HERE}:embed", input="$tbl.body"), embeddings(TBL.body, model="text-embedding-3-small")),
        (
            call("chat_completions", messages=MESSAGES, model="m", tools=f"{HERE}:order_status"),
            chat_completions(WITH_BODY, model="m", tools=tools(shop.order_status)),
        ),
        (
            call(
                "responses",
                input="$tbl.body",
                model="m",
                tools=[f"{HERE}:both"],
                tool_choice={"tool": "pay_back"},
            ),
            responses(TBL.body, model="m", tools=shop.both, tool_choice=shop.both.choice(tool="pay_back")),
        ),
        (
            call("chat_completions", messages=MESSAGES, model="m", tools=[WEATHER, f"{HERE}:order_status"]),
            chat_completions(WITH_BODY, model="m", tools=[WEATHER, shop.order_status]),
        ),
        (
            call("invoke_tools", tools=[f"{HERE}:order_status", f"{HERE}:refund"], response="$tbl.response"),
            invoke_tools(tools(shop.order_status, shop.refund), TBL.response),
        ),
        (
            call("chat_completions", messages=MESSAGES, model="m", response_format=f"{HERE}:Ticket"),
            chat_completions(WITH_BODY, model="m", response_format=shop.Ticket),
        ),
        (
            call(
                "responses", input="$tbl.body", model="m", text={"format": ".shop:Ticket", "verbosity": "low"}
            ),
            responses(TBL.body, model="m", text={"format": shop.Ticket, "verbosity": "low"}),
        ),
        (
            call(
                "chat_completions",
                messages=MESSAGES,
                model="m",
                response_format=shop.Ticket.model_json_schema(),
            ),
            chat_completions(WITH_BODY, model="m", response_format=shop.Ticket.model_json_schema()),
        ),
    ],
)
def test_a_declared_call_is_the_one_written_in_python(declared, written):
    """Functions, tools and forms of answers by import path, references for columns: the same code version."""
    assert expression_text(declared) == expression_text(written)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("embedings", {}, "no function 'embedings', allowed: chat_completions, .*did you mean 'embeddings'"),
        (f"{HERE}:order_status", {}, "got function, allowed: a @udf"),
        (f"{HERE}:wrds", {}, "has no 'wrds'; did you mean 'words'"),
        ("tests.nowhere:words", {}, "importing tests.nowhere failed: ModuleNotFoundError"),
        (
            f"{HERE}:words",
            {"texts": "$tbl.body"},
            "unexpected keyword argument 'texts'; its arguments are text|argument",
        ),
        ("embeddings", {"model": "m"}, "missing a required argument: 'input'"),
        (
            "chat_completions",
            {"messages": [], "model": "m", "tools": "status"},
            "got 'status', allowed: the import path",
        ),
        ("speech", {"input": "$tbl.body[", "model": "m", "voice": "nova"}, r"no reference from '\['"),
    ],
)
def test_what_is_no_call_is_refused(function, arguments, message):
    """The message names the column, what was got, and what is allowed."""
    with pytest.raises(DefinitionError, match=rf"(?s)^tickets\.column: .*(?:{message})"):
        call(function, **arguments)
