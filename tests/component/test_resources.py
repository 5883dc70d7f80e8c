import re

import dagster as dg
import pytest

from pxt_assets import ColumnStore, OpenAIResource

COLUMN = """
columns:
  - {name: response, function: embeddings, arguments: {input: $tbl.body, model: m}}
"""
SECRET = "sk-very-secret"


def test_each_component_has_resources_of_its_own(project):
    """Under keys made of where its file is, beside the project's, which a component without its own uses."""
    project.python("*[dg.AssetSpec(key) for key in 'abc']")
    project.declare(
        "table: a\npartitions: none\nsimulated: {rpm: 500}\nstore: {base_path: cells}" + COLUMN, "one"
    )
    other = 'table: b\npartitions: none\nopenai: {api_key: x, default_rpm: "{{ 60 }}"}' + COLUMN
    project.declare(other, "more/two")
    project.declare("table: c\npartitions: none" + COLUMN, "three")
    with project.loaded() as defs:
        assert set(defs.resources) == {
            "openai", "columns", "openai__one", "columns__one", "openai__more__two"
        }  # fmt: skip
        assert defs.resources["openai__one"].simulator == {"rpm": 500}
        assert defs.resources["openai__more__two"].default_rpm == 60
        assert defs.resources["columns__one"].base_path == str(project.root / "cells")
        needed = {
            key: defs.resolve_assets_def([key, "response"]).required_resource_keys - {"io_manager"}
            for key in ("a", "b", "c")
        }
    assert needed == {
        "a": {"openai__one", "columns__one"},
        "b": {"openai__more__two", "columns"},
        "c": {"openai", "columns"},
    }


def test_resources_of_the_project_under_other_keys(project):
    """Those that a component names; it cannot have one of its own there as well."""
    project.python("*[dg.AssetSpec(key) for key in 'ab']")
    keys = "resource_keys: {openai: openai_eu, columns: columns_eu}\n"
    project.declare("table: a\npartitions: none\n" + keys + COLUMN, "one")
    resources = {"openai_eu": OpenAIResource(api_key="x"), "columns_eu": ColumnStore(base_path="memory://x")}
    with project.loaded() as defs:
        column = dg.Definitions.merge(defs, dg.Definitions(resources=resources)).resolve_assets_def(
            ["a", "response"]
        )
    assert column.required_resource_keys - {"io_manager"} == {"openai_eu", "columns_eu"}
    for own in ("openai: {api_key: x}", "simulated: {}", "store: {base_path: cells}"):
        project.declare(f"table: a\npartitions: none\n{own}\n{keys}{COLUMN}", "one")
        assert f"got both {own.partition(':')[0]} and resource_keys" in project.error()
    project.declare("table: a\npartitions: none\nresource_keys: {openaii: x}" + COLUMN, "one")
    assert "got 'openaii', allowed: openai, columns, indexes; did you mean 'openai'?" in project.error()


def test_secrets_are_read_in_the_run_and_shown_nowhere(project, monkeypatch):
    """An environment variable in place of a value need not be there when definitions load; no repr shows a key."""
    monkeypatch.delenv("PXT_TEST_KEY", raising=False)
    declared = """
        table: a
        partitions: none
        openai: {api_key: "{{ env.PXT_TEST_KEY }}", ledger: "{{ env.PXT_TEST_KEY }}"}
        store: {base_path: "memory://cells", storage_options: {token: "{{ env.PXT_TEST_KEY }}"}}
        """
    path = project.declare(declared)
    path.write_text(path.read_text() + "".join(f"  {line}\n" for line in COLUMN.strip().splitlines()))
    with project.loaded() as defs:
        openai, store = defs.resources["openai__tickets"], defs.resources["columns__tickets"]
    monkeypatch.setenv("PXT_TEST_KEY", SECRET)
    with dg.build_resources({"openai": openai, "store": store}) as built:
        assert (built.openai.api_key, built.openai.ledger) == (SECRET, SECRET)
        assert built.store.file(dg.AssetKey("a")).path.storage_options == {"token": SECRET}
        assert SECRET not in repr(built.openai) + repr(built.store)
    assert SECRET not in repr(openai) + repr(store)


def test_any_field_may_be_a_variable(project, monkeypatch):
    """Numbers and flags too, in both of Dagster's forms, and inside mappings; none is read when definitions load."""
    project.declare(
        """
        table: a
        partitions: none
        openai:
          api_key: x
          base_url: {env: PXT_TEST_URL}
          timeout: "{{ env.PXT_TEST_NUMBER }}"
          max_in_flight: {env: PXT_TEST_NUMBER}
          rate_limits: {m: {env: PXT_TEST_NUMBER}}
          model_groups: {env: group}
        store: {base_path: {env: PXT_TEST_PATH}, provenance: "{{ env.PXT_TEST_FLAG }}"}
        columns:
          - {name: response, function: embeddings, arguments: {input: $tbl.body, model: m}}
        """
    )
    with project.loaded() as defs:
        resources = {"openai": defs.resources["openai__tickets"], "store": defs.resources["columns__tickets"]}
    for name, value in {"URL": "http://h/v1", "NUMBER": "7", "PATH": "memory://x", "FLAG": "false"}.items():
        monkeypatch.setenv(f"PXT_TEST_{name}", value)
    with dg.build_resources(resources) as built:
        openai, store = built.openai, built.store
    assert (openai.base_url, openai.timeout, openai.max_in_flight) == ("http://h/v1", 7.0, 7)
    assert (openai.rate_limits, openai.model_groups) == ({"m": 7.0}, {"env": "group"})
    assert (store.base_path, store.provenance) == ("memory://x", False)


def test_a_simulators_options_may_be_variables(project, monkeypatch):
    """They are read when it starts."""
    project.declare(f"table: a\npartitions: none\nsimulated: {{rpm: '{{{{ env.PXT_TEST_RPM }}}}'}}{COLUMN}")
    with project.loaded() as defs:
        openai = defs.resources["openai__tickets"]
    monkeypatch.setenv("PXT_TEST_RPM", "70")
    with dg.build_resources({"openai": openai}) as built:
        assert built.openai._simulator_options().rpm == 70


@pytest.mark.parametrize(
    ("resource", "line", "message"),
    [
        (
            f"openai: {{api_key: {SECRET}, rpm: 5}}",
            5,
            "OpenAIResource has no 'rpm', allowed: api_key, base_url",
        ),
        (
            f"openai: {{api_key: {SECRET}, default_rpm: {SECRET}}}",
            5,
            "default_rpm: Input should be a valid number",
        ),
        (f"openai: {SECRET}", 5, "got str, allowed: the fields of OpenAIResource"),
        (f"openai: {{api_key: {SECRET}}}\nsimulated: {{}}", 6, "both openai and simulated"),
        ("simulated: {speed: 5}", 5, "simulated: .*speed"),
        (
            f"store: {{base_path: x, storage_options: {SECRET}}}",
            5,
            "storage_options: Input should be a valid dict",
        ),
        ("store: {base: x}", 5, "ColumnStore has no 'base', allowed: base_path"),
        ("openai: {api_key: a, organization: '{{ nothing }}'}", 5, "'nothing' is undefined"),
        (f"unknown: {{api_key: {SECRET}}}", 5, "unknown at .*\n.*Extra inputs"),
        (f"storage_options: {SECRET}", 5, "storage_options at .*\n.*Input should be"),
    ],
)
def test_what_a_resource_cannot_be_is_refused(project, resource, line, message):
    """With the line in the file, and without the values, any of which may be secret."""
    path = project.declare(f"table: a\npartitions: none\n{resource}{COLUMN}")
    error = project.error()
    assert f"{path}:{line}" in error
    assert re.search(message, error)
    assert SECRET not in error
