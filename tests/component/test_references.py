import pytest

from pxt_assets.component.references import parse_reference, resolve_references
from pxt_assets.component.yaml_position import YamlPosition
from pxt_assets.errors import DefinitionError


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("$tbl.body", ["body"]),
        ("$tbl.größe", ["größe"]),
        ("$tbl.response.choices[0].message.content", ["response", "choices", 0, "message", "content"]),
        ('$tbl["a name"]["*"].text', ["a name", "*", "text"]),
        ("$tbl['it\\'s'].x[-1]", ["it's", "x", -1]),
        ('$tbl["a\\"]b"]', ['a"]b']),
        ("$tbl.parts[1:3].text", ["parts", slice(1, 3), "text"]),
        ("$tbl.parts[:]", ["parts", slice(None, None)]),
        ("$tbl.parts[ -2 : : 2 ]", ["parts", slice(-2, None, 2)]),
        ("$tbl._internal.assets", ["_internal", "assets"]),
    ],
)
def test_a_reference_is_a_column_and_the_steps_into_it(text, steps):
    """Names after dots, indexes, slices, and quoted keys in brackets."""
    assert parse_reference(text) == steps


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("$$tbl.body", "$tbl.body"),
        ("$$$tbl.body", "$$tbl.body"),
        ("$$tbl", "$tbl"),
        ("About $tbl.body", "About $tbl.body"),
        (" $tbl.body", " $tbl.body"),
        ("$table.body", "$table.body"),
        ("$tbl is a table", "$tbl is a table"),
        ("$$ is money", "$$ is money"),
        ("", ""),
    ],
)
def test_any_other_text_is_itself(text, literal):
    """A reference is the whole text; $$ in front of one makes it text."""
    assert parse_reference(text) == literal


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("$tbl.body and more", " and more"),
        ("$tbl.body.", "."),
        ("$tbl.rows[0", "[0"),
        ("$tbl.rows[x]", "[x]"),
        ("$tbl.rows[1.5]", "[1.5]"),
        ("$tbl.rows.0", ".0"),
        ("$tbl.body\n", "\n"),
        ("$tbl.f()", "()"),
        ("$tbl[__import__('os')]", "[__import__('os')]"),
    ],
)
def test_what_begins_like_a_reference_must_be_one(text, rest):
    """The message says from where on it is none, what is allowed, and how the text itself is written."""
    with pytest.raises(DefinitionError) as raised:
        parse_reference(text)
    message = str(raised.value)
    assert f"no reference from {rest!r} on" in message
    assert "allowed: $tbl.body, " in message
    assert f"write ${text}" in message


@pytest.mark.parametrize("text", ["$tbl", "$tbl[0]", "$tbl[:]"])
def test_a_reference_names_a_column(text):
    """The table itself, or a place in it, is none."""
    with pytest.raises(DefinitionError, match="names no column"):
        parse_reference(text)


def test_references_are_found_at_any_depth():
    """Values of dicts and lists are looked through, keys and everything that is no text stay as they are."""
    value = {"$tbl.key": ["$tbl.body", {"n": 1, "t": True, "none": None, "s": "$$tbl.x"}]}
    seen = resolve_references(value, lambda name: f"<{name}>", YamlPosition())
    assert seen == {"$tbl.key": ["<body>", {"n": 1, "t": True, "none": None, "s": "$tbl.x"}]}
