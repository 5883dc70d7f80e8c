"""How long answers may take, and who collects them, as YAML says it."""

import json
import re

import dagster as dg
import pytest

from pxt_assets.assets.columns import table_columns

TABLE = """
table: tickets
{table}
columns:
  - {{name: text, value: $tbl.body}}
  - name: c
    function: chat_completions
    arguments: {{messages: [{{role: user, content: $tbl.body}}], model: gpt-6-luna}}
    {column}
"""


def declared(project, table: str = "", column: str = "") -> None:
    project.python("dg.AssetSpec('tickets').with_io_manager_key('columns')")
    project.declare(TABLE.format(table=table, column=column))


def within(project, monkeypatch) -> dict[str, object]:
    """How long the answers of each column may take, by the columns' names."""
    found = {}
    made = table_columns.column_asset
    monkeypatch.setattr(
        table_columns, "column_asset", lambda spec: (found.update({spec.name: spec.within}), made(spec))[1]
    )
    project.specs()
    return found


@pytest.mark.parametrize(
    ("table", "column", "expected"),
    [
        ("", "", None),
        ("", "within: 24h", "24h"),
        ("within: 24h", "", "24h"),
        ("defaults: {within: 24h}", "", "24h"),
        ("within: 24h", "within: now", None),
        ("within: 24h", "within: null", None),
        ("within: '{{ \"24h\" }}'", "", "24h"),
    ],
)
def test_a_column_has_the_time_that_it_is_given(project, monkeypatch, table, column, expected):
    """Itself, or by its table, which has it for the columns that can have it: a copy can not."""
    declared(project, table, column)
    assert within(project, monkeypatch) == {"text": None, "c": expected}


@pytest.mark.parametrize(
    ("table", "column", "message"),
    [
        ("", "within: 8h", "defs.yaml:7: .*got within='8h', but chat_completions has only '24h'"),
        ("within: 12h", "", "defs.yaml:4: .*got within='12h', allowed: "),
        ("defaults: {within: 1d}", "", "defs.yaml:4: .*got within='1d', allowed: "),
        ("within: 24h\ndefaults: {within: 24h}", "", "defs.yaml:4: .*say it in one place"),
        ("collector: {interval: 3}", "", "defs.yaml:4: .*got 'interval', allowed: name"),
        ("collector: often", "", "defs.yaml:4: .*got 'often', allowed: true"),
        (
            "collector: {default_status: often}",
            "",
            "defs.yaml:4: .*default_status: got 'often', allowed: running",
        ),
    ],
)
def test_mistakes_are_told_with_their_line(project, table, column, message):
    declared(project, table, column)
    assert re.search(message, project.error(), re.DOTALL)


def test_a_collector_is_a_sensor_of_the_definitions(project):
    """Its options are those of Python."""
    declared(project, "collector: {minimum_interval_seconds: 300, default_status: stopped, name: evening}")
    with project.loaded() as defs:
        (sensor,) = defs.sensors or ()
    assert (sensor.name, sensor.minimum_interval_seconds) == ("evening", 300)
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED


@pytest.mark.parametrize(("given", "names"), [("true", ["tickets_collector"]), ("false", []), ("null", [])])
def test_a_collector_is_there_or_not(project, given, names):
    declared(project, f"collector: {given}")
    with project.loaded() as defs:
        assert [sensor.name for sensor in defs.sensors or ()] == names
        if names:
            job = defs.resolve_job_def("tickets_collector_job")
            keys = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
            assert keys == {"tickets/c", "tickets/text"}, json.dumps(sorted(keys))
