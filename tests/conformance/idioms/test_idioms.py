"""Every idiom of the table: a computed column does what a plain asset does."""

from pathlib import Path

import dagster as dg
import pytest

from tests.conformance.idioms.idiom import Idiom, all_idioms
from tests.conformance.idioms.projects import new_computed_project, new_plain_project


@pytest.mark.parametrize("row", all_idioms(), ids=lambda row: row.name)
def test_a_computed_column_does_what_a_plain_asset_does(row: Idiom, tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        expected = row.run(new_plain_project(instance))
    assert expected not in (None, [], {}), "the plain asset shows nothing to compare"

    with dg.DagsterInstance.ephemeral() as instance:
        assert row.run(new_computed_project(tmp_path, instance)) == expected
