"""Mistakes in a component's YAML, told with the line where they stand."""

import re

import pytest


def test_types_of_columns(project):
    """They are those of the schema that Python takes."""
    project.python("dg.AssetSpec('tickets')")
    path = project.declare(
        """
        table: tickets
        schema: {vector: "Array[(3,), 'float32']", score: Float}
        columns:
          - {name: a, value: $tbl.score.inner}
        """
    )
    assert f"{path}:6: Table('tickets').a: tickets.score.inner: tickets.score is Float" in project.error()


MISTAKES = [
    ("function: chat_completion", "line", "no function 'chat_completion', allowed: chat_completions"),
    (
        "arguments: {messages: [{role: user, content: $tbl.bod}], model: m}",
        9,
        "no column 'bod'; it has id, body",
    ),
    ("arguments: {messages: [], model: m, model_kwargs: {model: n}}", "line", "model is given both"),
    ("arguments: {model: m}", "line", "missing a required argument: 'messages'"),
    ("argument: {}", "line", "argument at .*\n.*Extra inputs"),
    ("on_error: stop", "line", "on_error at .*\n.*'abort' or 'ignore'"),
    ("owners: [nobody]", "column", "Invalid owner 'nobody'"),
    ("group_name: a b", "column", "a b"),
    ("tags: {a b c: d}", "column", "a b c"),
    ("automation_condition: sometimes", "line", "got 'sometimes', allowed: on_changed_inputs"),
    ("freshness_policy: {fail_window: soon}", "line", "got 'soon' as a span of time"),
    ("partition_mapping: first", "line", "got 'first', allowed: identity"),
    ("automation_condition: '{{ nothing() }}'", "line", "'nothing' is undefined"),
    ("function: nowhere:f", "line", "importing nowhere failed"),
    ("checks: {labels: $tbl.a.b}", "line", "labels: got '\\$tbl.a.b', allowed: a column"),
    ("value: $tbl.body", "column", "either a function, with its arguments, or a value"),
    ("name: response", "column", "response' is a computed column"),
]


@pytest.mark.parametrize(("line", "where", "message"), MISTAKES, ids=[line for line, _, _ in MISTAKES])
def test_mistakes_are_told_with_their_line(project, line, where, message):
    """The file and the line of what is wrong, or of its column, and what is allowed."""
    known = (
        "metadata={'dagster/column_schema': dg.TableSchema([dg.TableColumn('id'), dg.TableColumn('body')])}"
    )
    project.python(f"dg.AssetSpec('tickets', {known})")
    lines = ["name: c", "function: chat_completions", "arguments: {messages: [], model: m}"]
    lines = [one for one in lines if one.partition(":")[0] != line.partition(":")[0]]
    column = "\n    ".join([*lines, line])
    path = project.declare(
        f"table: tickets\ncolumns:\n  - {{name: response, value: $tbl.body}}\n  - {column}"
    )
    number = 6 if where == "column" else 6 + len(lines)
    error = project.error()
    assert f"{path}:{number}" in error
    assert re.search(message, error), error
