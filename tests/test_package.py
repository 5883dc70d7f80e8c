"""The package as a whole: what importing it does, what it exports, what its page for contributors names."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pxt_assets
from pxt_assets import functions

ROOT = Path(__file__).parents[1]
HEAVY = (
    "PIL",
    "aiohappyeyeballs",
    "aiohttp",
    "docstring_parser",
    "fsspec",
    "genai_prices",
    "jsonschema",
    "numpy",
    "openai",
    "opentelemetry",
    "pandas",
    "pyarrow",
    "pybase64",
    "rich",
    "starlette",
    "upath",
    "uvicorn",
)
FIRST_REQUEST = """
import sys, tempfile, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
import dagster as dg
import pyarrow as pa
from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.functions import chat_completions

class Api(BaseHTTPRequestHandler):
    def do_POST(self):
        print(*sys.modules)
        self.send_error(401)

    def log_message(self, *args):
        pass

server = HTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
base_url = f"http://127.0.0.1:{server.server_port}/v1"

@dg.asset(io_manager_key="columns")
def tickets() -> pa.Table: ...

tbl = Table(tickets, key="id")
tbl.add_computed_column(answer=chat_completions([{"role": "user", "content": tbl.body}], model="gpt-6-luna"))
with tempfile.TemporaryDirectory() as folder:
    store = ColumnStore(base_path=folder)
    texts = pa.StringArray.from_buffers(2, pa.py_buffer(bytes([0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0])), pa.py_buffer(b"ab"))
    table = pa.Table.from_arrays([texts, texts], names=["id", "body"])  # pa.table of a dict would import pandas
    with dg.build_output_context(asset_key=dg.AssetKey("tickets")) as context:
        store.handle_output(context, table)
    resources = {"openai": OpenAIResource(api_key="-", base_url=base_url), "columns": store}
    dg.materialize([tickets, *tbl.assets], selection=tbl.assets[:1], resources=resources, raise_on_error=False)
"""
NOT_BEFORE_A_REQUEST = (
    *("openai", "httpx2", "aiohttp"),
    *("PIL", "genai_prices", "jsonschema", "lancedb", "pandas", "pyarrow.dataset", "starlette", "uvicorn"),
    *(
        "pxt_assets.assets.page.preview",
        "pxt_assets.compute.dry_run",
        "pxt_assets.files",
        "pxt_assets.index.search",
    ),
)


def loaded(statement: str) -> tuple[set[str], int]:
    """The modules that a statement imports beyond Dagster's own, and the threads that run after it."""
    program = (
        "import sys, threading, dagster\n"
        "before = set(sys.modules)\n"
        f"{statement}\n"
        "print(*(set(sys.modules) - before))\n"
        "print(threading.active_count())"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    modules, threads = done.stdout.splitlines()[-2:]
    return set(modules.split()), int(threads)


def test_importing_the_package_is_light():
    """Its names load none of the libraries that only a run needs, and start no thread."""
    modules, threads = loaded("from pxt_assets import *")
    assert "pxt_assets.assets.table" in modules
    assert modules.isdisjoint(HEAVY)
    assert threads == 1


def test_a_step_asks_before_it_loads_what_it_may_need_later():
    """What a chat step imports until its first request, of which every process of every run pays the whole."""
    command = [sys.executable, "-c", FIRST_REQUEST]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert "pxt_assets.api.exchange" in modules
    assert modules.isdisjoint(NOT_BEFORE_A_REQUEST)


def test_the_command_line_answers_before_dagster_is_loaded():
    """A name of the package is loaded when it is first asked for, its public modules too."""
    program = (
        "import sys, pxt_assets.cli.commands; assert 'dagster' not in sys.modules\n"
        "pxt_assets.types.Image; assert pxt_assets.Table; assert 'Table' in dir(pxt_assets)\n"
        "pxt_assets.Tabel"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "module 'pxt_assets' has no attribute 'Tabel'" in done.stderr


def test_loading_the_demos_definitions_connects_to_nothing():
    """Definitions load without the client, the simulator's server, or a table being read."""
    modules, threads = loaded("from pxt_assets.demo.definitions import defs; defs()")
    assert modules.isdisjoint({"openai", "aiohttp", "starlette", "uvicorn", "pyarrow", "pandas"})
    assert threads == 1


@pytest.mark.parametrize("module", [pxt_assets, functions])
def test_every_public_name_is_documented_with_an_example(module):
    """What is exported says what it is, and shows how it is used."""
    assert module.__all__ == sorted(module.__all__)
    for name in module.__all__:
        assert "Example:" in (inspect.getdoc(getattr(module, name)) or ""), name


def test_the_page_for_contributors_names_what_there_is():
    """Every file and class that pxt_assets/README.md names exists."""
    package = ROOT / "pxt_assets"
    page = (package / "README.md").read_text()
    code = "\n".join(path.read_text() for path in package.rglob("*.py"))
    for name in re.findall(r"`([\w/]+\.py|(?:\w+/)+)`", page):
        assert any((folder / name).exists() for folder in (ROOT, package)) or list(package.rglob(name)), name
    for name in re.findall(r"`@?(?:\w+\.)?(_?[A-Z]\w+|[a-z]+_\w+)(?:\(.*?\))?`", page):
        assert re.search(rf"(class|def) {name}\b|{name} ?=", code), name
