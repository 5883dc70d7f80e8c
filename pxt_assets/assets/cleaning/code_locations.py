"""What code locations define: their assets, and the stores that hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from pxt_assets.errors import DefinitionError
from pxt_assets.storage.store import ColumnStore

if TYPE_CHECKING:
    from dagster._core.remote_origin import CodeLocationOrigin

_PYPROJECT = "pyproject.toml"
_HOW_TO_NAME = "name all code locations that use the store: -m MODULE, -f FILE.py, or -w workspace.yaml for several of them"


@dataclass(frozen=True)
class CodeLocations:
    """What some code locations define."""

    assets: frozenset[dg.AssetKey]
    tables: frozenset[dg.AssetKey]
    """The assets whose computed columns no other code location defines: those that are materialized here; of a workspace,
    which names all code locations, all assets."""
    stores: tuple[ColumnStore, ...]
    """The stores among the resources, with environment variables in their configuration read."""


def default_target(folder: Path) -> Path:
    """The file in a folder that names its code locations, as `dagster` finds it. Raises DefinitionError without one.

    It is a pyproject.toml with a block of Dagster's, or a workspace file.
    """
    from dagster._cli.utils import has_pyproject_dagster_block

    pyproject = folder / _PYPROJECT
    try:
        if has_pyproject_dagster_block(str(pyproject)):
            return pyproject
    except ValueError as e:  # it is no TOML
        msg = f"no code location was named, and {pyproject} cannot be read: {e}; {_HOW_TO_NAME}"
        raise DefinitionError(msg) from e
    for name in ("workspace.yaml", "workspace.yml"):
        if (folder / name).exists():
            return folder / name
    has_pyproject = (
        "its pyproject.toml has no [tool.dagster] or [tool.dg] block" if pyproject.exists() else ""
    )
    msg = (
        f"no code location was named, and {folder} names none: {has_pyproject or 'it has no pyproject.toml'}, and there is "
        f"no workspace.yaml; {_HOW_TO_NAME}"
    )
    raise DefinitionError(msg)


def load_code_locations(
    *, module: str | None = None, file: Path | None = None, workspace: Path | None = None
) -> CodeLocations:
    """What a module, a file, or all code locations of a workspace file define; a pyproject.toml will do for the last.

    Raises DefinitionError if any of it cannot be loaded, and if there is no ColumnStore in it.
    """
    where = module or str(file or workspace)
    definitions = load_definitions(module=module, file=file, workspace=workspace)
    try:
        nodes = [node for one in definitions for node in one.resolve_asset_graph().asset_nodes]
        declared = [
            r for one in definitions for r in (one.resources or {}).values() if isinstance(r, ColumnStore)
        ]
        stores = []
        for number, store in enumerate(declared):
            with dg.build_resources({f"store_{number}": store}) as built:
                stores.append(getattr(built, f"store_{number}"))
    except Exception as e:  # whatever a user's resource raises
        raise _unloadable(where, e) from e
    if not stores:
        msg = f"the definitions of {where} have no ColumnStore among their resources; allowed: definitions with one"
        raise DefinitionError(msg)
    assets = frozenset(node.key for node in nodes)
    own = frozenset(node.key for node in nodes if node.is_materializable)
    is_whole = workspace is not None and workspace.name != _PYPROJECT
    return CodeLocations(assets, assets if is_whole else own, tuple(stores))


def load_definitions(
    *, module: str | None = None, file: Path | None = None, workspace: Path | None = None
) -> list[dg.Definitions]:
    """The definitions of a module, a file, or all code locations of a workspace file or a pyproject.toml.

    Raises DefinitionError if any of it cannot be loaded.
    """
    from dagster._core.workspace.load import location_origins_from_yaml_paths
    from dagster._core.workspace.load_target import ModuleTarget, PyProjectFileTarget, PythonFileTarget

    where = module or str(file or workspace)
    try:
        origins: Sequence[CodeLocationOrigin]
        if module is not None:
            origins = ModuleTarget(module, None, str(Path.cwd()), None).create_origins()
        elif file is not None:
            origins = PythonFileTarget(str(file), None, str(Path.cwd()), None).create_origins()
        elif workspace is not None and workspace.name == _PYPROJECT:
            origins = PyProjectFileTarget(str(workspace)).create_origins()
        else:
            origins = location_origins_from_yaml_paths([str(workspace)])
        definitions = [one for origin in origins for one in _load_definitions(origin.loadable_target_origin)]
        for one in definitions:
            one.resolve_asset_graph()
    except Exception as e:  # whatever a user's module raises
        raise _unloadable(where, e) from e
    if not origins:
        msg = f"{where} names no code location that could be loaded; {_HOW_TO_NAME}"
        raise DefinitionError(msg)
    return definitions


def _unloadable(where: str, error: Exception) -> DefinitionError:
    return DefinitionError(
        f"cannot load the definitions of {where}: {type(error).__name__}: {error}; nothing was looked at"
    )


def _load_definitions(origin: object) -> list[dg.Definitions]:
    from dagster._grpc.utils import get_loadable_targets
    from dagster.components.definitions import LazyDefinitions

    targets = get_loadable_targets(
        python_file=getattr(origin, "python_file", None),
        module_name=getattr(origin, "module_name", None),
        package_name=getattr(origin, "package_name", None),
        autoload_defs_module_name=getattr(origin, "autoload_defs_module_name", None),
        working_directory=getattr(origin, "working_directory", None),
        attribute=getattr(origin, "attribute", None),
        resolve_lazy_defs=False,
    )
    found = []
    for target in targets:
        one = target.target_definition
        if isinstance(one, LazyDefinitions):
            one = one()
        if not isinstance(one, dg.Definitions):
            msg = f"got {type(one).__name__}, allowed: dagster.Definitions"
            raise TypeError(msg)
        found.append(one)
    return found
