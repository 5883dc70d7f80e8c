"""What a column's step records in Dagster: materializations of partitions, and observations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from pxt_assets.assets.columns.column_spec import ColumnSpec
from pxt_assets.assets.step.events import log_materialization
from pxt_assets.assets.step.shown import Secrets, metadata_without_secrets

Partition = str | None


@dataclass(frozen=True)
class StepEvents:
    """The events of one step; no metadata of them holds one of the `secrets`."""

    spec: ColumnSpec
    context: dg.AssetExecutionContext
    secrets: Secrets

    def materialized(self, partition: Partition, metadata: Mapping[str, Any], data_version: str) -> None:
        """Records that a partition is stored."""
        log_materialization(
            self.context,
            self.spec.key,
            partition,
            metadata_without_secrets(metadata, self.secrets),
            data_version=data_version,
            code_version=self.spec.code_version,
        )

    def observed(self, partition: Partition, metadata: Mapping[str, Any]) -> None:
        """Records what is known of a partition, of all of them for None."""
        metadata = metadata_without_secrets(metadata, self.secrets)
        self.context.log_event(dg.AssetObservation(self.spec.key, partition=partition, metadata=metadata))
