"""A code location for Dagster's commands: the plain project, or with CONFORMANCE=computed that of the computed column."""

import os
from pathlib import Path

import dagster as dg

from tests.conformance.idioms.projects import new_computed_project, new_plain_project

FOLDER = Path(os.environ["CONFORMANCE_FOLDER"])


def _project() -> dg.Definitions:
    instance = dg.DagsterInstance.ephemeral()
    days = dg.StaticPartitionsDefinition(["mon", "tue"])
    if os.environ.get("CONFORMANCE") == "computed":
        return new_computed_project(FOLDER, instance)(days).definitions()
    project = new_plain_project(instance)(days)
    project.resources["columns"] = dg.FilesystemIOManager(base_dir=str(FOLDER))
    return project.definitions()


defs = _project()
