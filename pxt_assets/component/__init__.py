"""Tables and their columns declared in YAML, as a Dagster component.

May import `assets` and the rooms below it.
"""

from pxt_assets.component.component import ComputedColumnsComponent

__all__ = ["ComputedColumnsComponent"]
