import inspect
import re

import pytest

from pxt_assets import Table
from pxt_assets.errors import CellError, DefinitionError
from pxt_assets.functions import chat_completions, embeddings, moderations

REQUIRED = object()


@pytest.fixture
def tbl() -> Table:
    return Table("tickets", key="id")


def spec(asset):
    (only,) = asset.specs
    return only


class TestSignatures:
    @pytest.mark.parametrize(
        ("function", "positional", "keywords"),
        [
            (
                chat_completions,
                "messages",
                {"model": REQUIRED, "model_kwargs": None, "tools": None, "tool_choice": None},
            ),
            (embeddings, "input", {"model": REQUIRED, "model_kwargs": None}),
            (moderations, "input", {"model": "omni-moderation-latest"}),
        ],
    )
    def test_a_functions_signature_is_the_documented_one(self, function, positional, keywords):
        """Names, their order, defaults and what is keyword-only are Pixeltable's."""
        first, *rest = inspect.signature(function).parameters.values()
        assert (first.name, first.kind, first.default) == (
            positional,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            inspect.Parameter.empty,
        )
        assert {p.kind for p in rest} == {inspect.Parameter.KEYWORD_ONLY}
        assert [
            (p.name, REQUIRED if p.default is inspect.Parameter.empty else p.default) for p in rest
        ] == list(keywords.items())

    def test_the_docstring_is_the_functions(self):
        """`help` shows what the function does, not what a wrapper does."""
        assert "chat model" in inspect.getdoc(chat_completions)
        assert chat_completions.__name__ == "chat_completions"

    def test_fixed_arguments_are_defaults(self):
        """The signature of `f.using(...)` shows what was fixed."""
        fixed = inspect.signature(embeddings.using(model="m")).parameters
        assert fixed["model"].default == "m"
        assert fixed["input"].default is inspect.Parameter.empty


class TestCalling:
    def test_arguments_bind_as_in_python(self, tbl):
        """The first argument may be given by position or by name."""
        by_position, by_name = (
            embeddings(tbl.body, model="m"),
            embeddings(input=tbl.body, model="m"),
        )
        assert list(by_position._arguments) == list(by_name._arguments) == ["input", "model"]

    def test_other_keywords_are_arguments_of_the_api(self, tbl):
        """`dimensions=8` stands beside the named arguments."""
        assert embeddings(tbl.body, model="m", dimensions=8)._arguments["dimensions"] == 8

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (
                lambda t: embeddings(t.body),
                "missing a required argument: 'model'; its arguments are input, model",
            ),
            (lambda t: embeddings(model="m"), "missing a required argument: 'input'"),
            (lambda t: embeddings(t.body, "m"), "too many positional arguments"),
            (lambda t: embeddings(t.body, input=t.x, model="m"), "multiple values for argument 'input'"),
            (
                lambda t: embeddings(None, model="m"),
                "input is None; it is required, give a value or a column",
            ),
            (lambda t: embeddings(t.body, model=None), "model is None; it is required"),
            (
                lambda t: embeddings(t.body, model="m", dimensions=8, model_kwargs={"dimensions": 8}),
                "dimensions is given both as a keyword and in model_kwargs; give it once",
            ),
            (
                lambda t: embeddings(t.body, model="m", model_kwargs={"model": "n"}),
                "model is given both as a keyword and in model_kwargs; give it once",
            ),
            (
                lambda t: chat_completions(t.messages, model="m", model_kwargs={"tools": []}),
                "tools is an argument of its own; give it as a keyword, not in model_kwargs",
            ),
            (
                lambda t: embeddings(t.body, model="m", dimensions=8, model_kwargs=t.options),
                "model_kwargs is a column, so dimensions cannot be given beside it",
            ),
            (
                lambda t: moderations(t.body, model_kwargs={"x": 1}),
                "takes no model_kwargs; give the API's other arguments one by one",
            ),
        ],
    )
    def test_a_wrong_call_says_what_to_write(self, tbl, call, message):
        """A call that cannot be meant is refused while definitions load."""
        with pytest.raises(DefinitionError, match=re.escape(message)):
            call(tbl)


class TestUsing:
    def test_a_fixed_argument_is_as_if_given(self, tbl):
        """`f.using(model="m")(x)` is `f(x, model="m")`."""
        fixed, given = embeddings.using(model="m")(tbl.body), embeddings(tbl.body, model="m")
        assert fixed._arguments.keys() == given._arguments.keys()
        assert fixed._arguments["model"] == "m"

    def test_the_function_itself_stays_as_it_was(self, tbl):
        """`using` returns another function."""
        embeddings.using(model="m")
        with pytest.raises(DefinitionError, match="missing a required argument: 'model'"):
            embeddings(tbl.body)

    def test_arguments_are_fixed_one_after_the_other(self, tbl):
        """`using` on a fixed function fixes more."""
        call = embeddings.using(model="m").using(dimensions=8)(tbl.body)
        assert (call._arguments["model"], call._arguments["dimensions"]) == ("m", 8)

    @pytest.mark.parametrize(
        "twice",
        [
            lambda f, t: f(t.body, model="n"),
            lambda f, t: f.using(model="n"),
            lambda f, t: f.asset(name="e", table=t, input=t.body, model="n"),
        ],
    )
    def test_a_fixed_argument_is_not_given_again(self, tbl, twice):
        """Which of two values counts would be a guess."""
        with pytest.raises(DefinitionError, match=re.escape("model was fixed by using(...) already")):
            twice(embeddings.using(model="m"), tbl)

    def test_a_fixed_keyword_clashes_with_model_kwargs(self, tbl):
        """Fixed arguments count as given."""
        with pytest.raises(DefinitionError, match="dimensions is given both"):
            embeddings.using(model="m", dimensions=8)(tbl.body, model_kwargs={"dimensions": 8})

    def test_a_clash_is_found_where_it_is_written(self):
        """Not only when the function is called."""
        with pytest.raises(DefinitionError, match="dimensions is given both"):
            embeddings.using(dimensions=8, model_kwargs={"dimensions": 8})


class TestAsset:
    def test_it_is_the_same_as_a_computed_column(self):
        """`f.asset(name=..., table=...)` and `add_computed_column` give one key and one code version."""
        one, other = Table("tickets", key="id"), Table("tickets", key="id")
        options = {"description": "d", "group_name": "g", "owners": ["team:x"], "tags": {"a": "b"}}
        made = embeddings.asset(
            name="e", table=one, input=one.body, model="m", dimensions=8, on_error="ignore", **options
        )
        added = other.add_computed_column(
            e=embeddings(other.body, model="m", dimensions=8), on_error="ignore", **options
        )
        assert spec(made).key == spec(added).key
        assert spec(made).code_version == spec(added).code_version
        for name in options:
            assert getattr(spec(made), name) == getattr(spec(added), name)
        assert str(spec(made).description).startswith("d\n")

    def test_it_is_added_to_the_table(self, tbl):
        """The column can be referred to, and the asset is among the table's."""
        asset = moderations.asset(name="harm", table=tbl, input=tbl.body)
        assert tbl.assets == [asset]
        assert repr(tbl.harm.results[0].flagged) == "tickets.harm.results[0].flagged"

    def test_fixed_arguments_are_the_assets(self):
        """`f.using(...)` is a factory too."""
        one, other = Table("tickets"), Table("tickets")
        made = embeddings.using(model="m").asset(name="e", table=one, input=one.body)
        added = other.add_computed_column(e=embeddings(other.body, model="m"))
        assert spec(made).code_version == spec(added).code_version

    def test_a_missing_argument_is_named(self, tbl):
        """Arguments are checked as in a call."""
        with pytest.raises(DefinitionError, match="missing a required argument: 'input'"):
            embeddings.asset(name="e", table=tbl, model="m")


class TestRequest:
    def test_null_optional_arguments_are_left_out(self):
        """A null asks for the API's own default."""
        request = chat_completions.cell_request(
            {
                "messages": [],
                "model": "m",
                "tools": None,
                "temperature": None,
                "model_kwargs": {"top_p": None},
            }
        )
        assert request.body == {"messages": [], "model": "m"}

    def test_literal_nulls_inside_messages_are_kept(self):
        """An assistant's message that calls a tool has no content."""
        message = {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}
        request = chat_completions.cell_request({"messages": [message], "model": "m"})
        assert request.body["messages"] == [message]

    @pytest.mark.parametrize("value", [float("nan"), b"bytes", object()])
    def test_what_json_cannot_hold_is_the_rows_error(self, value):
        """One row's value fails that row, not the run."""
        with pytest.raises(CellError, match=r"^chat_completions: "):
            chat_completions.cell_request({"messages": [{"content": value}], "model": "m"})

    def test_lone_surrogates_are_sent_as_replacement_characters(self):
        """Text that UTF-8 cannot hold is sent with U+FFFD in its place."""
        request = chat_completions.cell_request({"messages": [{"content": "a\ud800b"}], "model": "m"})
        assert request.body["messages"][0]["content"] == "a\ufffdb"
        assert "a\ufffdb".encode() in request.payload


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: chat_completions([{"role": "user", "content": t.body}], model="m", stream=True), "stream"),
        (lambda t: chat_completions([], model="m", model_kwargs={"stream": False}), "stream"),
        (lambda t: chat_completions("hello", model="m"), "a list of dicts"),
        (lambda t: chat_completions([{"role": "user", "content": t.body}], model=5), "got model=5"),
        (lambda t: embeddings(5, model="m"), "allowed: text"),
        (lambda t: embeddings("", model="m"), "empty text"),
    ],
)
def test_constants_that_would_fail_every_row_are_refused_at_once(call, message):
    """What is wrong whatever the rows hold is an error when definitions load."""
    with pytest.raises(DefinitionError, match=message):
        call(Table("tickets"))
