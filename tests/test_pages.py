"""The pages for users keep what they promise: their code runs, their commands exist, their links lead somewhere."""

import inspect
import re
import shlex
import tomllib
from pathlib import Path

import dagster as dg
import pytest
import yaml
from click.testing import CliRunner

from pxt_assets import OpenAIResource, Table, functions
from pxt_assets.api.within import ways
from pxt_assets.cli.commands import main
from pxt_assets.demo import models
from pxt_assets.functions.declare import ApiFunction
from tests.pages import DOCS, PAGES, README, ROOT, blocks, languages, page_id, prose

COMMAND = re.compile(r"`(pxt-assets [^`]*)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
RUN_CONFIG = "ops:"
"""How the block of a run config begins; other YAML declares components."""


def run_block(block: str, page: str = "a page") -> dict[str, object]:
    """What the block defines, as a module of its own would."""
    namespace: dict[str, object] = {}
    exec(compile(block, page, "exec"), namespace)
    return namespace


def own_table() -> dg.Definitions:
    """The definitions that the README shows as a file of the user's own."""
    (found,) = (p.values[0] for p in blocks("python", README) if "defs = " in p.values[0])
    defs = run_block(found)["defs"]
    assert isinstance(defs, dg.Definitions)
    return defs


@pytest.mark.parametrize("ending", ["pxt-assets demo", "pytest"])
def test_the_readme_has_the_two_commands(ending):
    """One line sets up and runs the demo, one sets up and passes the tests."""
    assert len(re.findall(rf"^python3 -m venv .*&& {ending}$", README.read_text(), re.MULTILINE)) == 1


def test_the_readme_fits_three_screens():
    """What a new user needs in the first ten minutes; the rest has pages of its own."""
    text = README.read_text()
    assert len(text.splitlines()) <= 150
    assert len(text.encode()) <= 10_000


def test_every_block_is_in_a_language_that_is_tested():
    """No code stands in a page that no test runs."""
    assert {page: of for page, of in languages().items() if of - {"python", "yaml", "sh"}} == {}


@pytest.mark.parametrize("block", blocks("python"))
def test_the_pages_python_runs_as_it_stands(block):
    """Each Python block can be pasted into a file; its definitions load."""
    definitions = run_block(block).get("defs")
    if isinstance(definitions, dg.Definitions):
        dg.Definitions.validate_loadable(definitions)


def test_the_readmes_own_table_is_computed(tmp_path, monkeypatch):
    """With the file that it names, and without a key, every row of it has an answer."""
    monkeypatch.chdir(tmp_path)
    day = ROOT / "pxt_assets/demo/data/tickets/2026-03-02.csv"
    assert f"`cp {day.relative_to(ROOT)} tickets.csv`" in README.read_text()
    Path("tickets.csv").write_bytes(day.read_bytes())
    defs = own_table()
    result = defs.resolve_implicit_global_asset_job_def().execute_in_process()
    rows = result.asset_value(["tickets", "answer"]).to_pylist()
    assert len(rows) > 10
    assert all(row["answer"] for row in rows)


def test_dg_dev_serves_a_file_of_the_users_own(tmp_path, monkeypatch):
    """The README's command hands the file to Dagster."""
    from dagster_dg_cli.cli.dev import dev_command

    served = []
    monkeypatch.setattr("dagster._cli.dev.dev_command_impl", lambda **said: served.append(said))
    monkeypatch.chdir(tmp_path)
    (command,) = (p.values[0].split() for p in blocks("sh", README) if p.values[0].startswith("dg "))
    assert command[:2] == ["dg", "dev"]
    done = CliRunner().invoke(dev_command, command[2:])
    assert done.exit_code == 0, done.output
    assert served[0]["workspace_opts"].python_file == ("definitions.py",)


def test_a_key_shows_in_the_launchpad_only_where_it_is_written_into_code():
    """Of an environment variable the name stands there, which is what a resource without a key has."""
    shown = [
        dg.Definitions(resources={"openai": openai}).get_repository_def().get_top_level_resources()
        for openai in (OpenAIResource(api_key="sk-written"), OpenAIResource())
    ]
    keys = [one["openai"].config_schema.default_value["api_key"] for one in shown]
    assert keys == ["sk-written", {"env": "OPENAI_API_KEY"}]


@pytest.mark.parametrize("block", [p for p in blocks("yaml") if p.values[0].startswith(RUN_CONFIG)])
def test_the_pages_run_configs_are_those_of_the_readmes_columns(block):
    """They can be pasted into the launchpad."""
    job = own_table().resolve_implicit_global_asset_job_def()
    assert dg.validate_run_config(job, yaml.safe_load(block))


def test_each_pages_commands_exist():
    """Every `pxt-assets ...`, in a block or in the text, is understood with its options."""
    lines = [
        line for p in blocks("sh") for line in p.values[0].splitlines() if line.startswith("pxt-assets ")
    ]
    named = [command for page in PAGES for command in COMMAND.findall(prose(page))]
    assert len(lines) + len(named) > 4
    for line in [*lines, *named]:
        _, name, *arguments = shlex.split(line.replace(" [", " ").replace("]", ""), comments=True)
        command = main.commands[name]
        assert command.make_context(name, arguments), line


def test_the_command_tells_where_the_pages_are():
    """Whoever has only the installed package finds them by `pxt-assets --help`."""
    lines = CliRunner().invoke(main, ["--help"]).output.splitlines()
    assert str(DOCS / "README.md") in [line.strip() for line in lines]


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page):
    """To a file that is there, and to a heading that it has; what is shipped links to nothing outside of the package."""
    targets = [target for target in LINK.findall(prose(page)) if not target.startswith("https://")]
    assert targets
    for target in targets:
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", prose(file), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, target


def test_each_page_and_picture_is_linked():
    """Every page from the README and from the list of pages, every picture from a page."""
    linked = {page: {(page.parent / to).resolve() for to in LINK.findall(prose(page))} for page in PAGES}
    contents = DOCS / "README.md"
    pages = {page for page in PAGES if page not in (README, contents)}
    assert pages <= linked[README]
    assert pages <= linked[contents]
    assert set((DOCS / "images").iterdir()) <= set().union(*linked.values())


@pytest.mark.parametrize(
    ("page", "function"),
    [("files.md", Table.from_files), ("columns.md", Table.add_computed_column)],
    ids=["files", "columns"],
)
def test_every_option_is_told(page, function):
    """What it does is said, on that page or on Dagster's."""
    told = prose(DOCS / page) + prose(DOCS / "dagster.md")
    options = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    assert [name for name in options if f"`{name}`" not in told] == []


def test_the_functions_are_told_with_the_times_that_they_have():
    """What may come later, at a lower price, the longest time first."""
    table = prose(DOCS / "functions.md").partition("## ")[0]
    told = dict(re.findall(r"^\| `(\w+)\(.* \| ([^|]+) \|$", table, re.MULTILINE))
    calls = {name: value for name, value in vars(functions).items() if isinstance(value, ApiFunction)}
    has = {name: ", ".join(reversed(ways(one.endpoint.path))) or "now" for name, one in calls.items()}
    assert told == {**has, "invoke_tools": "now"}


def test_every_field_of_the_resource_is_told_with_its_default():
    """One row each, in their order, and no other."""
    table = prose(DOCS / "servers.md").partition("| field | default |")[2].partition("\n\n")[0]
    told = re.findall(r"^\| `(\w+)` \| `(.+?)` \| [^|]*\| [^|]+ \|$", table, re.MULTILINE)
    defaults = {name: eval(default, {"dg": dg}) for name, default in told}
    assert list(defaults.items()) == [(n, f.default) for n, f in OpenAIResource.model_fields.items()]
    assert len(table.splitlines()) == len(told) + 2  # the heads of the table


def test_no_model_of_the_pages_is_named_elsewhere():
    """The models that the pages and the demo use are those that the demo sets in one place."""
    used = {model for page in PAGES for model in re.findall(r"model=\"([^\"]+)\"", page.read_text())}
    assert used
    assert used <= {value for name, value in vars(models).items() if name.endswith("_MODEL")}


def test_the_figures_are_figures():
    """Each row of the tables of figures says a number that was measured."""
    text = (DOCS / "figures.md").read_text()
    tables = re.findall(r"\| what \| .*\n\|[-|]+\|\n((?:\|.*\n)+)", text)
    assert len(tables) == text.count("| what |") > 0
    for row in "".join(tables).splitlines():
        assert re.search(r"\d", row.split("|")[2]), row


def test_the_readme_says_why_each_dependency_is_there():
    """One row each, no other rows; and what each extra adds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    demanded = {re.match(r"[\w-]+(\[\w+\])?", text)[0] for text in project["dependencies"]}
    table = README.read_text().partition("| package | why |")[2]
    told = {
        name
        for cell in re.findall(r"^\| ([^|]+) \| .+ \|$", table, re.MULTILINE)
        for name in cell.split(", ")
    }
    assert told == demanded
    extras = [name for name in project["optional-dependencies"] if not name.startswith("test-")]
    assert [name for name in extras if f"`{name}`" not in table] == []
