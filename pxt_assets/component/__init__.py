"""Tables and their columns declared in YAML, as a Dagster component."""

from pxt_assets.component.component import ComputedColumnsComponent

__all__ = ["ComputedColumnsComponent"]
