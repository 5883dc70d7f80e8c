"""A store with a materialized column, and definitions to clean it by."""

from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from pxt_assets import ColumnStore, OpenAIResource
from pxt_assets.assets.cleaning.code_locations import CodeLocations
from pxt_assets.assets.cleaning.leftovers import Leftover, find_leftovers, remove_leftover
from pxt_assets.cli.commands import main
from pxt_assets.compute.cells.journal import Journal
from tests.scripted_server import ScriptedServer
from tests.tickets import KEY, Bodies, Tickets

ROWS = {1: "a", 2: "b"}
MADE = "@dg.asset(io_manager_key='columns')\ndef tickets() -> pa.Table: ..."
NAMED = "tickets = dg.AssetSpec('tickets').with_io_manager_key('columns')"
DEFINITIONS = """
import dagster as dg
import pyarrow as pa
from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.functions import chat_completions

{upstream}

tbl = Table(tickets, key="id")
for name in {columns}:
    tbl.add_computed_column(**{{name: chat_completions([{{"role": "user", "content": tbl.body}}], model="m")}})
defs = dg.Definitions(
    assets=[tickets, *tbl.assets],
    resources={{"openai": OpenAIResource(), "columns": ColumnStore(base_path=dg.EnvVar("STORE"))}},
)
"""


class StoreToClean(Tickets):
    """The column `c` of ROWS in a store, by default on a local disk."""

    def __init__(self, folder: Path, openai: OpenAIResource, base_path: str | None = None) -> None:
        super().__init__(ColumnStore(base_path=base_path or str(folder / "store")), openai)
        self.folder = folder
        self.run(ROWS)

    def gc(
        self, *options: str, columns: Sequence[str] = ("c",), upstream: str = MADE, whole: bool = False
    ) -> Result:
        """`pxt-assets gc` with definitions of these columns.

        `upstream` is how they come by their table, `whole` whether they are a workspace.
        """
        definitions = self.folder / "definitions.py"
        definitions.write_text(DEFINITIONS.format(columns=list(columns), upstream=upstream))
        workspace = self.folder / "workspace.yaml"
        workspace.write_text(f"load_from:\n  - python_file: {definitions}\n")
        given = ["-w", str(workspace)] if whole else ["-f", str(definitions)]
        return CliRunner().invoke(main, ["gc", *given, *options], env={"STORE": self.store.base_path})

    @property
    def defined(self) -> CodeLocations:
        """Definitions with the table and its column."""
        keys = frozenset({dg.AssetKey("tickets"), KEY})
        return CodeLocations(keys, keys, (self.store,))

    def find(self) -> list[Leftover]:
        return list(find_leftovers(self.store, self.defined))

    def remove(self, finding: Leftover) -> Leftover | None:
        return remove_leftover(finding, self.store, self.defined)

    def die_after_commit(self, rows: Bodies) -> None:
        """A run that is gone before it has removed its journal."""
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Journal, "remove", lambda _self: None)
            self.run(rows)

    def die_before_commit(
        self, rows: Bodies, server: ScriptedServer, *paid: str, refresh: bool = False
    ) -> None:
        """A run that is gone when only these rows were answered."""
        wanted = {id_: body for id_, body in rows.items() if body in paid}
        assert list(rows.items())[: len(wanted)] == list(wanted.items())
        server.forget()
        self.run(rows, config={"limit": len(wanted), "refresh": refresh}, on_error="ignore")
        assert sorted(server.texts) == sorted(paid)

    @property
    def companions(self) -> Path:
        """The folder of what belongs to the column's file."""
        return self.journal.parent

    @property
    def segments(self) -> set[str]:
        return {path.name for path in self.journal.glob("*.arrow")}

    @property
    def files(self) -> set[str]:
        """All files of the store."""
        base = Path(self.store.base_path)
        return {str(path.relative_to(base)) for path in base.rglob("*") if path.is_file()}
