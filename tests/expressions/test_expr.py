import copy
import operator
import pickle
import re
from typing import Any

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxt_assets import Table
from pxt_assets.errors import DefinitionError
from pxt_assets.expressions.path_steps import ALL, follow_path
from pxt_assets.expressions.walk import calls, expression_text, references, type_of
from pxt_assets.functions import chat_completions, embeddings, moderations
from pxt_assets.values.types import Array, Bool, Float, Int, Json, String

ANSWER = {
    "choices": [
        {"index": 0, "message": {"content": "yes", "_raw": 1}},
        {"index": 1, "message": {"content": None}},
        {"index": 2},
    ]
}


@pytest.fixture
def tbl() -> Table:
    return Table("tickets", key="id")


def chat(tbl: Table, **arguments: Any) -> Any:
    return chat_completions([{"role": "user", "content": tbl.body}], model="m", **arguments)


def steps(path: Any) -> tuple[Any, ...]:
    return path._steps  # type: ignore[no-any-return]


class TestFollow:
    @pytest.mark.parametrize(
        ("path", "value"),
        [
            (("choices", 0, "message", "content"), "yes"),
            (("choices", -3, "message", "content"), "yes"),
            (("choices", ALL, "index"), [0, 1, 2]),
            (("choices", ALL, "message", "content"), ["yes", None, None]),
            (("choices", slice(1, None), "index"), [1, 2]),
            (("choices", slice(None, None, 2), "index"), [0, 2]),
            (("choices", slice(-1, None), "index"), [2]),
            (("choices", 0, "message", "_raw"), 1),
            ((), ANSWER),
        ],
    )
    def test_a_path_leads_to_the_value(self, path, value):
        """Keys, indexes from either end, slices and maps lead to what stands there."""
        assert follow_path(ANSWER, path) == value

    @pytest.mark.parametrize(
        "path",
        [
            ("answers",),
            ("choices", 3),
            ("choices", -4),
            ("choices", "index"),
            (0,),
            (ALL,),
            ("choices", 1, "message", "content", "more"),
            ("choices", 0, "message", "content", 0),
        ],
    )
    def test_a_path_that_a_row_lacks_is_null(self, path):
        """A missing key or index, and a step that does not suit the value, give null."""
        assert follow_path(ANSWER, path) is None

    def test_a_map_over_an_empty_list_is_an_empty_list(self):
        """No elements are not a missing value."""
        assert follow_path({"a": []}, ("a", ALL, "b")) == []

    def test_maps_nest(self):
        """A map inside a map gives a list of lists."""
        assert follow_path([[{"x": 1}, {"x": 2}], []], (ALL, ALL, "x")) == [[1, 2], []]

    def test_text_is_no_list(self):
        """A slice of text is null, as an index into it is."""
        assert follow_path("text", (slice(0, 2),)) is None

    @given(
        value=st.recursive(
            st.none() | st.integers() | st.text(max_size=3),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
            ),
        ),
        path=st.lists(
            st.sampled_from(["a", "b", 0, 1, -1, ALL, slice(1, None), slice(None, None, -1)]), max_size=5
        ),
    )
    def test_following_never_fails(self, value, path):
        """Any path into any JSON value gives a value, and one step after the other gives the same."""
        assert follow_path(follow_path(value, ()), tuple(path)) == follow_path(value, tuple(path))
        if path and not isinstance(path[0], slice):
            assert follow_path(follow_path(value, tuple(path[:1])), tuple(path[1:])) == follow_path(
                value, tuple(path)
            )


class TestPaths:
    def test_attributes_and_items_are_the_same_steps(self, tbl):
        """`a.b` and `a["b"]` are one path."""
        assert steps(tbl.r.choices[0].message) == steps(tbl.r["choices"][0]["message"])
        assert steps(tbl.r.choices[0].message) == ("choices", 0, "message")

    def test_a_star_is_all(self, tbl):
        """`["*"]` and `[:]` map over all elements."""
        assert steps(tbl.r["*"].x) == steps(tbl.r[:].x) == (ALL, "x")

    def test_keys_that_begin_with_an_underscore_are_items(self, tbl):
        """Names with _ are Python's; a JSON key of that kind is given in brackets, as the message says."""
        assert steps(tbl.r["_id"]) == ("_id",)
        with pytest.raises(AttributeError, match=re.escape("['_id']")):
            _ = tbl.r._id

    def test_a_path_extends_a_call(self, tbl):
        """The result of a call need not be a column to be walked into."""
        path = chat(tbl).choices[0].message.content
        assert steps(path) == ("choices", 0, "message", "content")
        assert [c._function.name for c in calls(path)] == ["chat_completions"]

    @pytest.mark.parametrize(
        ("path", "written"),
        [
            (lambda r: r.choices[0].message, "tickets.r.choices[0].message"),
            (lambda r: r["a b"][-1], "tickets.r['a b'][-1]"),
            (lambda r: r["*"].x, "tickets.r['*'].x"),
            (lambda r: r[1:], "tickets.r[1:]"),
            (lambda r: r[::2], "tickets.r[::2]"),
        ],
    )
    def test_a_path_is_shown_as_it_is_written(self, tbl, path, written):
        """Messages quote an expression in the user's own notation."""
        assert repr(path(tbl.r)) == written

    @pytest.mark.parametrize(
        "step", [True, 1.5, None, (0, 1), slice("a", "b"), slice(0, 2.0), slice(0, 5, 0)]
    )
    def test_other_steps_are_refused(self, tbl, step):
        """Only keys, indexes and slices of indexes are steps."""
        with pytest.raises(DefinitionError, match="a path step is a key, an index"):
            tbl.r[step]

    def test_a_column_is_no_bound(self, tbl):
        """A slice's bounds are known when definitions load."""
        with pytest.raises(DefinitionError, match="a path step is"):
            tbl.r[tbl.n :]


class TestRefusals:
    def test_a_path_into_text_is_refused(self, tbl):
        """What is known to be text, a number or a truth value has nothing inside."""
        content = chat(tbl).choices[0].message.content
        with pytest.raises(DefinitionError, match="String, which has nothing inside"):
            _ = content.text

    @pytest.mark.parametrize(
        ("use", "instead"),
        [
            (lambda c: f"Say {c}", "separate messages"),
            (lambda c: f"{c:>10}", "separate messages"),
            (lambda c: "Say {}".format(c), "separate messages"),  # noqa: PLW0108, UP032
            (lambda c: "Say %s" % c, "give the column itself"),  # noqa: UP031
            (str, "give the column itself"),
            (lambda c: "Say " + c, "separate messages"),
            (lambda c: c + "!", "separate messages"),
            (lambda c: [{"role": "user"}] + c, "separate messages"),  # noqa: RUF005
            (lambda c: 1 if c else 0, "computed column of its own"),
            (operator.not_, "computed column of its own"),
            (lambda c: c == "x", "computed column of its own"),
            (lambda c: c != "x", "computed column of its own"),
            (lambda c: "x" in c, "computed column of its own"),
            (list, '["*"]'),
            (lambda c: {"rows": [*c]}, '["*"]'),
            (len, "computed column of its own"),
        ],
    )
    @pytest.mark.parametrize("make", [lambda t: t.body, lambda t: t.body.x[0], chat])
    def test_what_needs_a_rows_value_is_refused(self, tbl, make, use, instead):
        """Python cannot look into a value of each row; the message says what to write instead."""
        with pytest.raises(DefinitionError, match=re.escape(instead)):
            use(make(tbl))

    @pytest.mark.parametrize("make", [lambda t: t.body, lambda t: {"x": [t.body.x[0]]}])
    @pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
    def test_expressions_can_be_copied(self, tbl, make, duplicate):
        """Templates that hold expressions may be copied, and compute the same."""
        assert expression_text(duplicate(make(tbl))) == expression_text(make(tbl))


class TestReferences:
    def test_each_column_once_in_order_of_first_use(self, tbl):
        """A template's columns are found wherever they stand."""
        expr = {"a": [tbl.x, {"b": tbl.y.z}], "c": (tbl.x, embeddings(tbl.w, model="m"))}
        assert [ref._column for ref in references(expr)] == ["x", "y", "w"]

    def test_a_computed_column_is_not_the_upstream_one_of_that_name(self, tbl):
        """Columns are told apart by asset and name."""
        tbl.add_computed_column(r=chat(tbl))
        (ref,) = references(tbl.r.choices)
        assert ref._asset == dg.AssetKey(["tickets", "r"])

    def test_nested_calls_are_found_outermost_first(self, tbl):
        """A call's arguments may be calls."""
        expr = embeddings(chat(tbl).choices[0].message.content, model="m")
        assert [c._function.name for c in calls(expr)] == ["embeddings", "chat_completions"]


class TestTypes:
    @pytest.mark.parametrize(
        ("make", "expected"),
        [
            (chat, Json),
            (lambda t: chat(t).choices[0].message.content, String),
            (lambda t: chat(t).choices[-1].index, Int),
            (lambda t: chat(t).usage.total_tokens, Int),
            (lambda t: chat(t).usage, Json),
            (lambda t: chat(t).choices["*"].index, Json),
            (lambda t: chat(t).choices[1:], Json),
            (lambda t: chat(t).unheard_of.x, Json),
            (lambda t: moderations(t.body).results[0].flagged, Bool),
            (lambda t: moderations(t.body).results[0].categories["hate/threatening"], Bool),
            (lambda t: moderations(t.body).results[0].category_scores.hate, Float),
            (lambda t: embeddings(t.body, model="m"), Array),
            (lambda t: t.body, None),
            (lambda t: t.body.x, Json),
            (lambda t: {"x": t.body}, Json),
            (lambda t: [t.body], Json),
        ],
    )
    def test_the_type_is_known_where_the_answer_is_documented(self, tbl, make, expected):
        """Documented fields of an answer have their type; what is not known is Json, and a bare column unknown."""
        assert type_of(make(tbl))[0] is expected

    def test_a_templates_fields_keep_their_types(self, tbl):
        """What went into a template comes out with the type it had."""
        tbl.add_computed_column(t={"text": chat(tbl).choices[0].message.content, "r": chat(tbl), "n": 1})
        assert type_of(tbl.t.text)[0] is String
        assert type_of(tbl.t.r.usage.total_tokens)[0] is Int

    def test_a_declared_type_is_the_columns(self):
        """`schema` says what data do not tell."""
        assert type_of(Table("t", schema={"n": Int}).n)[0] is Int


class TestCode:
    def test_equal_expressions_have_equal_code(self, tbl):
        """Code is of what is computed, not of the objects."""
        assert expression_text(chat(tbl, temperature=0)) == expression_text(chat(tbl, temperature=0))

    @pytest.mark.parametrize(
        "other",
        [
            lambda t: chat_completions([{"role": "user", "content": t.subject}], model="m"),
            lambda t: chat_completions([{"role": "system", "content": t.body}], model="m"),
            lambda t: chat_completions([{"role": "user", "content": t.body}], model="n"),
            lambda t: chat_completions([{"role": "user", "content": t.body.x}], model="m"),
            lambda t: chat(t, temperature=0),
            lambda t: chat(t, temperature=0.0),
            lambda t: chat(t).choices,
            lambda t: chat(t)["*"],
            lambda t: chat(t)[1:],
            lambda t: chat(t)[2:],
            lambda t: {"x": chat(t)},
            lambda t: chat(Table("others")),
        ],
    )
    def test_what_computes_something_else_has_other_code(self, tbl, other):
        """Prompt, model, arguments, paths and columns all count."""
        assert expression_text(other(tbl)) != expression_text(chat(tbl))

    def test_the_order_of_keys_does_not_count(self, tbl):
        """Dicts are equal whatever order they were written in."""
        assert expression_text({"a": tbl.x, "b": 1}) == expression_text({"b": 1, "a": tbl.x})
