"""Runs of the columns that a browser then looks at, in this process and with the instance that the UI reads."""

import dagster as dg

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


class Project:
    """The definitions, run with an instance."""

    def __init__(self, instance: dg.DagsterInstance, definitions: dg.Definitions) -> None:
        self._instance = instance
        self._definitions = definitions

    def run(
        self,
        *assets: str,
        days: tuple[str, str] | None = None,
        config: dict[str, object] | None = None,
        succeeds: bool = True,
    ) -> None:
        """Materialize assets, over a range of days in one run; `config` is that of each one's step."""
        ops = {name.replace("/", "__"): {"config": config} for name in assets} if config else {}
        result = self._definitions.get_implicit_global_asset_job_def().execute_in_process(
            instance=self._instance,
            asset_selection=[dg.AssetKey(name.split("/")) for name in assets],
            tags=dict(zip(RANGE, days, strict=True)) if days else {},
            run_config={**QUIET, "ops": ops},
            raise_on_error=False,
        )
        assert result.success == succeeds
