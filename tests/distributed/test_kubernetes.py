"""What the page about scale says of Kubernetes: the definitions load, and what is sized there reaches the pods of steps."""

import os
import sys
import types
from typing import Any

import dagster as dg
import pytest

from tests.pages import blocks
from tests.test_scale_page import PAGE, files

if not os.environ.get("PXT_REQUIRE_DISTRIBUTED"):
    pytest.importorskip("dagster_k8s", reason="dagster-k8s is not installed")

COLUMN = "tickets__response"


@pytest.fixture
def defs(monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
    """Those of the page's `definitions_k8s.py`, which imports its `definitions.py`."""
    for name in ("OPENAI_API_KEY", "PXT_LEDGER", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "unused")
    (block,) = (p.values[0] for p in blocks("python", PAGE) if "defs = " in p.values[0])
    module = types.ModuleType("definitions")
    exec(block, vars(module))
    monkeypatch.setitem(sys.modules, "definitions", module)
    namespace: dict[str, Any] = {}
    exec(files("PYTHON")["definitions_k8s.py"], namespace)
    found = namespace["defs"]
    assert isinstance(found, dg.Definitions)
    dg.Definitions.validate_loadable(found)
    return found


def job_of(tags: Any) -> dict[str, Any]:
    """The Kubernetes job of a step or run with these tags."""
    from dagster_k8s.job import (
        DagsterK8sJobConfig,
        construct_dagster_k8s_job,
        get_user_defined_k8s_config,
    )

    image = DagsterK8sJobConfig(job_image="image", dagster_home="/home")
    job: dict[str, Any] = construct_dagster_k8s_job(
        image, ["dagster"], "job", get_user_defined_k8s_config(tags)
    ).to_dict()
    return job


def test_the_columns_op_tags_size_the_pod_of_its_step(defs: dg.Definitions) -> None:
    """As dagster-k8s reads the tags of a step, in whatever job the column is."""
    job = defs.resolve_implicit_global_asset_job_def()
    plan = dg._core.execution.api.create_execution_plan(job, tags={"dagster/partition": "2026-01-02"})
    (step,) = (one for key, one in plan.step_dict_by_key.items() if key == COLUMN)
    (container,) = job_of(step.tags)["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["requests"] == {"cpu": "1", "memory": "1Gi"}
    assert container["resources"]["limits"] == {"memory": "2Gi"}


def test_they_are_no_tags_of_the_run(defs: dg.Definitions) -> None:
    """So that the pod of a run is sized elsewhere, as the page says."""
    job = defs.resolve_implicit_global_asset_job_def()
    assert "dagster-k8s/config" not in job.tags


def test_the_executors_options_are_those_of_its_schema(defs: dg.Definitions) -> None:
    """Dagster checks them when a run is configured."""
    job = defs.resolve_implicit_global_asset_job_def()
    assert job.executor_def.name == "k8s"
    assert dg.validate_run_config(job, {"execution": {"config": {"max_concurrent": 2}}})
