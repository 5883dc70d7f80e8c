"""Which assets a selection chooses."""

from collections.abc import Callable
from typing import Any

import dagster as dg

from tests.conformance.idioms.idiom import idiom
from tests.conformance.idioms.projects import COLUMN, UPSTREAM, NewProject

DOCS = "guides/build/assets/asset-selection-syntax/reference"

SELECTIONS: dict[str, Any] = {
    "by its key": 'key:"tickets/shout"',
    "downstream of another": 'key:"tickets"+',
    "upstream of it": '+key:"tickets/shout"',
    "roots and leaves": 'sinks(key:"tickets"+)',
    "by a wildcard": 'key:"tickets/*"',
    "by group": "group:support",
    "by tag": 'tag:"tier"="one"',
    "by owner": 'owner:"team:search"',
    "all but one": 'not key:"tickets"',
    "by AssetSelection.assets": dg.AssetSelection.assets(COLUMN),
    "by AssetSelection.keys and downstream": dg.AssetSelection.assets(UPSTREAM).downstream(),
    "by AssetSelection.groups": dg.AssetSelection.groups("support"),
    "by AssetSelection.tag": dg.AssetSelection.tag("tier", "one"),
    "by AssetSelection.owner": dg.AssetSelection.owner("team:search"),
    "by AssetSelection.key_prefixes": dg.AssetSelection.key_prefixes("tickets"),
    "materializable": dg.AssetSelection.all().materializable(),
}


def _selects(selection: Any) -> Callable[[NewProject], object]:
    def row(new: NewProject) -> object:
        project = new(group_name="support", tags={"tier": "one"}, owners=["team:search"])
        job = dg.define_asset_job("selected", selection=selection)
        selected = project.definitions(jobs=[job]).resolve_job_def("selected")
        return sorted(key.to_user_string() for key in selected.asset_layer.executable_asset_keys)

    return row


for _name, _selection in SELECTIONS.items():
    idiom(DOCS, f"selected {_name}")(_selects(_selection))
