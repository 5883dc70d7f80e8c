"""What the UI shows of checks, and a server that refuses some rows."""

import asyncio

import dagster as dg
from dagster._core.loader import LoadingContextForTest

from pxt_assets.assets.declarations.checks import NO_FAILED_CELLS
from tests.scripted_server import Asked, Reply, chat, refusal
from tests.tickets import KEY, checks

DRY = {"dry_run": True}
TRIAL = {"limit": 1}


def rude(asked: Asked) -> Reply:
    """Refuses `bad …`, answers anything else."""
    return refusal(400, "no") if asked.text.startswith("bad") else chat(asked)


def shown(
    instance: dg.DagsterInstance, name: str = NO_FAILED_CELLS, key: dg.AssetKey = KEY
) -> tuple[str, str | None]:
    """The status of a check as the UI has it, and what its last result says.

    The UI shows a result only if it is one about the asset's latest materialization.
    """
    check = dg.AssetCheckKey(key, name)
    record = instance.event_log_storage.get_latest_asset_check_execution_by_key([check])[check]
    loading = LoadingContextForTest(instance)
    assert asyncio.run(record.targets_latest_materialization(loading))
    status = asyncio.run(record.resolve_status(loading))
    return status.value, getattr(record.evaluation, "description", None)


def of_failed_cells(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    """The result of the check that looks for failed rows."""
    return next(one for one in checks(result) if one.check_name == NO_FAILED_CELLS)


def logged(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance) -> str:
    """All that the run logged."""
    return "\n".join(entry.user_message for entry in instance.all_logs(result.run_id))
