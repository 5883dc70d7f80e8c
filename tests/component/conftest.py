from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import dagster as dg
import pytest
from dagster.components.testing import create_defs_folder_sandbox

MODULE = """
import dagster as dg
import pyarrow as pa

from pxt_assets import ColumnStore, OpenAIResource, udf


@udf
def words(text: str) -> int:
    return len(text.split())


@dg.definitions
def defs():
    return dg.Definitions(
        assets=[{assets}],
        resources={{"openai": OpenAIResource(api_key="unused"), "columns": ColumnStore(base_path="unused")}},
    )
"""
HEAD = "type: pxt_assets.ComputedColumnsComponent\nattributes:\n"


class Project:
    """A project whose folder of definitions holds what a test writes there."""

    def __init__(self, sandbox) -> None:
        self._sandbox = sandbox
        self.root: Path = sandbox.project_root
        self.module: str = f"{sandbox.project_name}.defs"

    def write(self, name: str, text: str) -> Path:
        path = self._sandbox.defs_folder_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def python(self, assets: str = "", definitions: str = "") -> None:
        """A module that defines assets, and the resources `openai` and `columns`."""
        before, after = MODULE.format(assets=assets).split("@dg.definitions")
        self.write("assets.py", f"{before}{dedent(definitions)}\n\n@dg.definitions{after}")

    def declare(self, attributes: str, name: str = "tickets") -> Path:
        """A component; the first line of `attributes` is the third of its file."""
        lines = dedent(attributes).strip("\n").splitlines()
        return self.write(f"{name}/defs.yaml", HEAD + "".join(f"  {line}\n" for line in lines))

    @contextmanager
    def loaded(self) -> Iterator[dg.Definitions]:
        with self._sandbox.build_all_defs() as defs:
            yield defs

    def specs(self) -> dict[str, dg.AssetSpec]:
        """The specs of all assets that are defined, by key."""
        with self.loaded() as defs:
            return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}

    def error(self) -> str:
        """What loading the project is refused by: the message of the cause."""
        try:
            self.specs()
        except Exception as e:  # of Dagster's or of this package's
            error: BaseException = e
        else:
            pytest.fail("the project loads")
        while error.__cause__ is not None and type(error).__name__ == "ComponentTreeException":
            error = error.__cause__
        return str(error)


@pytest.fixture
def project() -> Iterator[Project]:
    with create_defs_folder_sandbox() as sandbox:
        made = Project(sandbox)
        made.python()
        yield made
