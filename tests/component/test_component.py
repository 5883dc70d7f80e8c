"""Tables and columns that are declared in YAML are those declared in Python."""

import datetime
import json

import dagster as dg
import pytest
import yaml

from pxt_assets import ColumnStore, ComputedColumnsComponent, OpenAIResource, Table, functions
from pxt_assets.component.examples import EXAMPLES, VALUE
from pxt_assets.functions import chat_completions, embeddings
from tests.component import shop
from tests.pages import blocks
from tests.runs import materialize, metadata, rows_asset, values

PROMPTS = [
    "Answer {{ x }} in {% raw %} one sentence.",
    "123",
    "{'a': 1}",
    "True",
    "null",
    "ends with newlines\n\n",
    "naïve ☃ ümläut",
    "About $tbl.body: $$ {partition_key}",
    "$$tbl.body",
    "",
]
"""What templating, YAML and references could spoil."""


def column(project, declared: str) -> dg.AssetSpec:
    """The spec of the column `c` of a table `tickets`, that is declared by these lines."""
    project.python("dg.AssetSpec('tickets')")
    lines = "\n".join(f"    {line}" for line in declared.splitlines())
    project.declare(f"table: tickets\nkey: id\ncolumns:\n  - name: c\n{lines}")
    return project.specs()["tickets/c"]


def written(expr) -> str | None:
    """The code version of the same column in Python."""
    (spec,) = Table("tickets", key="id").add_computed_column(c=expr).specs
    return spec.code_version


def test_a_table_declared_in_yaml_is_the_one_declared_in_python(project, store, simulated):
    """The same keys, code versions, kinds, tags and descriptions; what one computed the other does not pay for again."""
    rows = {"id": [1, 2, 3], "body": ["late", "broken", "thanks"]}
    upstream = rows_asset(rows)
    tbl = Table(upstream, key="id")
    tbl.add_computed_column(
        response=chat_completions(
            [
                {"role": "system", "content": "Answer {{ x }} in one sentence.\n"},
                {"role": "user", "content": tbl.body},
            ],
            model="gpt-4o-mini",
        ),
        on_error="ignore",
        owners=["team:support"],
        tags={"tier": "1"},
    )
    tbl.add_computed_column(answer=tbl.response.choices[0].message.content)
    tbl.add_computed_column(embed=embeddings(tbl.answer, model="text-embedding-3-small"))
    materialize([upstream, *tbl.assets], store, simulated)

    project.python("dg.AssetSpec('tickets').with_io_manager_key('columns')")
    project.declare(
        f"""
        table: tickets
        key: id
        openai: {{api_key: "{{{{ env.PXT_TEST_KEY }}}}", base_url: "{simulated.base_url}"}}
        store: {{base_path: "{store.base_path}"}}
        defaults: {{tags: {{tier: 1}}}}
        columns:
          - name: response
            function: chat_completions
            arguments:
              messages:
                - role: system
                  content: |
                    Answer {{{{ x }}}} in one sentence.
                - {{role: user, content: $tbl.body}}
              model: gpt-4o-mini
            on_error: ignore
            owners: ["team:support"]
          - name: answer
            value: $tbl.response.choices[0].message.content
          - name: embed
            function: embeddings
            arguments: {{input: $tbl.answer, model: text-embedding-3-small}}
        """
    )
    expected = {spec.key: spec for asset in tbl.assets for spec in asset.specs}
    with project.loaded() as defs, pytest.MonkeyPatch.context() as patched:
        patched.setenv("PXT_TEST_KEY", "sk-test")
        columns = [defs.resolve_assets_def(key) for key in expected]
        for asset in columns:
            (spec,) = asset.specs
            same = expected[spec.key]
            for name in ("code_version", "kinds", "owners", "group_name", "description", "deps"):
                assert getattr(spec, name) == getattr(same, name), name
            assert {**same.tags, "tier": "1"} == spec.tags
        result = materialize([upstream, *columns], store)
    assert {metadata(result, f"tickets/{name}")["pxt/requests"] for name in ("response", "embed")} == {0}
    assert metadata(result, "tickets/response")["pxt/rows_reused"] == 3
    assert len(values(store, "tickets/answer")) == 3


@pytest.mark.parametrize("style", [None, '"', "|"])
def test_prompts_come_through_untouched(project, style):
    """In every style that YAML can write them: what is sent is what is read, templates and all."""
    project.python("dg.AssetSpec('tickets')")
    messages = [{"role": "system", "content": text} for text in PROMPTS]
    column = {"name": "c", "function": "chat_completions", "arguments": {"messages": messages, "model": "m"}}
    text = yaml.safe_dump(
        {"table": "tickets", "key": "id", "columns": [column]}, default_style=style, allow_unicode=True
    )
    project.declare(text)
    sent = [text.removeprefix("$") if text.startswith("$$tbl") else text for text in PROMPTS]
    expected = chat_completions([{"role": "system", "content": text} for text in sent], model="m")
    assert project.specs()["tickets/c"].code_version == written(expected)


@pytest.mark.parametrize("word", ["off", "'off'", "auto"])
def test_the_cache_is_left_alone_in_every_spelling(project, word):
    """To YAML `off` is false."""
    project.python("dg.AssetSpec('tickets')")
    project.declare(f"{{table: tickets, columns: [{{name: c, value: $tbl.body.a, cache: {word}}}]}}")
    assert "tickets/c" in project.specs()


def test_options_of_a_column_and_of_all_columns(project):
    """A column's own count before the defaults, and tags are added up; null takes a default back."""
    project.python("dg.AssetSpec('tickets', partitions_def=dg.DailyPartitionsDefinition('2026-01-01'))")
    project.declare(
        """
        table: tickets
        defaults:
          group_name: "{{ 'sup' + 'port' }}"
          owners: [team:support]
          automation_condition: on_changed_inputs
          tags: {tier: 1, team: a}
          freshness_policy: {fail_window: 36h}
        columns:
          - {name: plain, value: $tbl.body.a}
          - name: own
            value: $tbl.body.b
            group_name: other
            owners: [ada@example.com]
            automation_condition: null
            tags: {team: b}
            description: "What {{ x }} is"
            freshness_policy: "{{ dg.FreshnessPolicy.cron('0 6 * * *', datetime.timedelta(hours=1)) }}"
            partition_mapping: {time_window: {start_offset: -1}}
        """
    )
    specs = project.specs()
    plain, own = specs["tickets/plain"], specs["tickets/own"]
    tags = [{k: v for k, v in spec.tags.items() if "/" not in k} for spec in (plain, own)]
    assert (plain.group_name, plain.owners, tags[0]) == (
        "support",
        ["team:support"],
        {"tier": "1", "team": "a"},
    )
    assert plain.automation_condition is not None
    assert plain.freshness_policy == dg.FreshnessPolicy.time_window(fail_window=datetime.timedelta(hours=36))
    assert (own.group_name, own.owners, tags[1]) == (
        "other",
        ["ada@example.com"],
        {"tier": "1", "team": "b"},
    )
    assert own.automation_condition is None
    assert own.description.startswith("What {{ x }} is\n")
    assert own.freshness_policy == dg.FreshnessPolicy.cron("0 6 * * *", datetime.timedelta(hours=1))
    (dep,) = own.deps
    assert dep.partition_mapping == dg.TimeWindowPartitionMapping(start_offset=-1)


def test_a_table_of_files(project, simulated):
    """Its source is an asset of the component; paths count from the project's root."""
    (project.root / "data").mkdir()
    for day in ("2026-01-01", "2026-01-02"):
        (project.root / "data" / f"{day}.csv").write_text(f"id#body#score\n1#é{day}#2\n", encoding="latin-1")
    project.declare(
        """
        table: raw/tickets
        files: data/{partition_key}.csv
        encoding: latin-1
        separator: "#"
        schema: {score: Float}
        partitions: {daily: 2026-01-01}
        store: {base_path: cells}
        defaults: {group_name: support}
        columns:
          - {name: copy, value: {line: $tbl.body, score: $tbl.score}}
        """
    )
    key = dg.AssetKey(["raw", "tickets", "copy"])
    with project.loaded() as defs:
        assets = [defs.resolve_assets_def(["raw", "tickets"]), defs.resolve_assets_def(key)]
        assert [spec.group_name for asset in assets for spec in asset.specs] == ["support"] * 2
        result = materialize(assets, ColumnStore(base_path="unused"), partition="2026-01-02")
    store = ColumnStore(base_path=str(project.root / "cells"))
    assert json.loads(values(store, "raw/tickets/copy", "2026-01-02")[0]) == {
        "line": "é2026-01-02",
        "score": 2.0,
    }
    assert metadata(result, "raw/tickets/copy", "2026-01-02")["dagster/partition_row_count"] == 1


def test_the_page_of_a_column_leads_to_its_line(project):
    """And to the beginning of its component's document."""
    project.python("dg.AssetSpec('tickets')")
    path = project.declare(
        "table: tickets\ncolumns:\n  - {name: a, value: $tbl.x.y}\n  - name: b\n    value: $tbl.a"
    )
    path.write_text(
        f"{path.read_text()}---\n{path.read_text().replace('name: a', 'name: c').replace('name: b', 'name: d')}"
    )
    lines = {}
    for key, spec in project.specs().items():
        references = spec.metadata.get("dagster/code_references")
        if references is not None:
            assert {r.file_path for r in references.code_references} == {str(path)}
            lines[key] = [r.line_number for r in references.code_references]
    assert {key: line[0] for key, line in lines.items()} == {
        "tickets/a": 5, "tickets/b": 6, "tickets/c": 13, "tickets/d": 14
    }  # fmt: skip


def test_the_schema_documents_every_field():
    """Each has a description, each function an example that is a column."""
    schema = ComputedColumnsComponent.model_json_schema()
    models = [schema, *schema["$defs"].values()]
    assert [
        name
        for model in models
        for name, field in model["properties"].items()
        if not field.get("description")
    ] == []
    assert list(EXAMPLES) == sorted(functions.__all__, key=list(EXAMPLES).index)
    assert schema["$defs"]["ColumnDeclaration"]["examples"] == [*EXAMPLES.values(), VALUE]
    for resource, name in ((OpenAIResource, "openai"), (ColumnStore, "store")):
        fields = schema["properties"][name]["anyOf"][0]["properties"]
        assert fields.keys() == resource.model_fields.keys() - {"simulator"}


def test_each_functions_example_is_a_column(project):
    """The examples of the schema load, together, in one component."""
    project.python("dg.AssetSpec('tickets')")
    examples = json.loads(
        json.dumps([*EXAMPLES.values(), VALUE]).replace("my_package.tools:", f"{shop.__name__}:")
    )
    project.declare(
        yaml.safe_dump(
            {"table": "tickets", "schema": {"photo": "Image", "call": "Audio"}, "columns": examples}
        )
    )
    assert project.specs().keys() == {"tickets", *(f"tickets/{example['name']}" for example in examples)}


def test_a_component_can_be_made_in_python():
    """Of the same fields; its definitions are those of the document."""
    fields = {"table": "tickets", "partitions": "none", "columns": [EXAMPLES["chat_completions"], VALUE]}
    openai = OpenAIResource(api_key="x")
    made = dg.component_defs(component=ComputedColumnsComponent(**fields, openai=openai))
    assert made.resources == {"openai__tickets": openai}
    read = dg.component_defs(component=ComputedColumnsComponent.from_attributes_dict(attributes=fields))
    versions = [[spec.code_version for asset in defs.assets for spec in asset.specs] for defs in (made, read)]
    assert versions[0] == versions[1]
    assert "sk-secret" not in repr(ComputedColumnsComponent(**fields, openai={"api_key": "sk-secret"}))


@pytest.mark.parametrize("block", blocks("yaml", without="ops:"))
def test_the_pages_yaml_loads_as_it_stands(project, block):
    """It declares the columns that it shows."""
    project.write("tickets/defs.yaml", block)
    specs = project.specs()
    assert set(specs) == {"tickets", "tickets/response", "tickets/answer"}
    partitions = specs["tickets/answer"].partitions_def
    assert isinstance(partitions, dg.DailyPartitionsDefinition)
    assert partitions.start.date() == datetime.date(2026, 3, 2)
