"""Where Dagster finds assets: modules, packages, `defs` folders, definitions."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import dagster as dg

from tests.conformance.idioms.idiom import idiom
from tests.conformance.idioms.projects import NewProject, Project
from tests.conformance.idioms.rows.keys import module_of

PAGE = "guides/build/projects-and-components/organizing-dagster-projects"


def names(definitions: dg.Definitions) -> list[str]:
    """The keys of all assets that are defined."""
    return sorted(spec.key.to_user_string() for spec in definitions.resolve_all_asset_specs())


@idiom("api/dagster/assets", "load_assets_from_modules")
def from_modules(new: NewProject) -> object:
    project = new()
    assets = dg.load_assets_from_modules([module_of(project)])
    return names(dg.Definitions(assets=assets, resources=project.resources))


@idiom("api/dagster/assets", "the same assets in two modules")
def in_two_modules(new: NewProject) -> object:
    project = new()
    other = module_of(project)
    other.__name__ = "other_assets"
    other.column = project.column
    assets = dg.load_assets_from_modules([module_of(project), other])
    return names(dg.Definitions(assets=assets, resources=project.resources))


@idiom("api/dagster/assets", "load_assets_from_modules with group_name")
def with_group(new: NewProject) -> object:
    project = new()
    assets = dg.load_assets_from_modules([module_of(project)], group_name="team")
    specs = [spec for one in assets if isinstance(one, dg.AssetsDefinition) for spec in one.specs]
    return sorted((spec.key.to_user_string(), spec.group_name) for spec in specs)


@idiom("api/dagster/definitions", "load_definitions_from_module")
def definitions_from_module(new: NewProject) -> object:
    project = new()
    return names(dg.load_definitions_from_module(module_of(project), resources=project.resources))


@contextmanager
def package(project: Project, name: str, *, with_defs: bool = False) -> Iterator[Path]:
    """A package on disk whose module `shouting` holds the project's assets."""
    with TemporaryDirectory() as folder:
        root = Path(folder, name)
        inner = root / "defs" if with_defs else root
        inner.mkdir(parents=True)
        (root / "__init__.py").touch()
        (inner / "__init__.py").touch()
        (inner / "shouting.py").write_text(
            "import conformance_project\n"
            "tickets = conformance_project.upstream\n"
            "shouting = conformance_project.loadable\n"
        )
        (Path(folder) / "pyproject.toml").write_text(
            f'[project]\nname = "{name}"\n[tool.dg]\ndirectory_type = "project"\n'
            f'[tool.dg.project]\nroot_module = "{name}"\n'
        )
        held: Any = ModuleType("conformance_project")
        held.upstream, held.loadable = project.upstream, project.loadable
        sys.modules["conformance_project"] = held
        sys.path.insert(0, folder)
        try:
            yield Path(folder)
        finally:
            sys.path.remove(folder)
            for module in [one for one in sys.modules if one.partition(".")[0] in (name, held.__name__)]:
                del sys.modules[module]


@idiom("api/dagster/assets", "load_assets_from_package_name")
def from_package(new: NewProject) -> object:
    project = new()
    with package(project, "shouting_package"):
        assets = dg.load_assets_from_package_name("shouting_package")
        return names(dg.Definitions(assets=assets, resources=project.resources))


@idiom("guides/build/projects-and-components/moving-to-components/migrating-definitions", "a defs folder")
def from_defs_folder(new: NewProject) -> object:
    project = new()
    with package(project, "shouting_project", with_defs=True) as root:
        found = dg.load_from_defs_folder(path_within_project=root)
        return names(dg.Definitions.merge(found, dg.Definitions(resources=project.resources)))


@idiom("api/dagster/definitions", "a function decorated with @dg.definitions")
def from_definitions_function(new: NewProject) -> object:
    project = new()

    @dg.definitions
    def defs() -> dg.Definitions:
        return project.definitions()

    return names(defs())


@idiom("api/dagster/definitions", "Definitions.merge")
def merged(new: NewProject) -> object:
    project = new()
    return names(
        dg.Definitions.merge(
            dg.Definitions(assets=[project.upstream]),
            dg.Definitions(assets=[project.column]),
            dg.Definitions(resources=project.resources),
        )
    )


@idiom("api/dagster/repositories", "a repository")
def in_a_repository(new: NewProject) -> object:
    project = new()

    @dg.repository
    def repository() -> list[Any]:
        return dg.with_resources(project.assets, project.resources)

    return sorted(key.to_user_string() for key in repository.asset_graph.get_all_asset_keys())
