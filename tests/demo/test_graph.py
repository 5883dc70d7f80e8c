"""The demo's tables: what their columns hold, and what the UI shows of them."""

import io
import json
from pathlib import Path

import dagster as dg
import PIL.Image
import pytest

from pxt_assets import ColumnStore, EmbeddingIndexes, OpenAIResource
from pxt_assets.demo import graph
from pxt_assets.demo.definitions import defs
from pxt_assets.demo.graph import DEMO_DAYS, demo_tables
from tests.runs import materialize, metadata, stored, values

DAY = "2026-03-02"
THUMBNAIL = "](data:image/jpeg;base64,"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return ColumnStore(base_path=str(tmp_path_factory.mktemp("demo")))


@pytest.fixture(scope="module")
def run(_simulator, store):
    """One day of all tables, by an instance that keeps whatever a run records."""
    openai = OpenAIResource(base_url=_simulator.base_url, api_key="sk-test", default_rpm=60_000)
    assets = [asset for table in demo_tables() for asset in table.assets]
    resources = {"indexes": EmbeddingIndexes(base_path=f"{store.base_path}/indexes")}
    with dg.DagsterInstance.ephemeral() as instance:
        return materialize(assets, store, openai, partition=DAY, resources=resources, instance=instance)


@pytest.mark.parametrize("table", demo_tables()[1:], ids=repr)
def test_every_column_has_a_value_in_every_row(run, store, table):
    """None fails, none is null; what the simulator answered is marked."""
    source, *columns = (asset.key.to_user_string() for asset in table.assets)
    rows = stored(store, source, DAY).num_rows
    for column in columns:
        assert stored(store, column, DAY)[column.rpartition("/")[2]].null_count == 0, column
        said = metadata(run, column, DAY)
        assert said["pxt/rows_failed"] == 0
        assert said["pxt/rows_computed"] == rows
        assert said["pxt/simulated"] is True


def test_each_picture_has_a_caption_of_its_own(run, store):
    """The picture itself is part of what is asked."""
    captions = values(store, "photos/caption", DAY)
    assert len(set(captions)) == len(captions) == 2


def test_a_caption_that_is_spoken_is_heard_again(run, store):
    """The simulator's sound carries its text, so the transcripts are the captions."""
    assert values(store, "photos/transcript", DAY) == values(store, "photos/caption", DAY)
    assert "mp3" in metadata(run, "photos/reply", DAY)["pxt/preview"]


@pytest.mark.parametrize("column", ["edit", "edited"])
def test_the_previews_show_thumbnails(run, column):
    """One of each edited picture."""
    assert metadata(run, f"photos/{column}", DAY)["pxt/preview_all"].count(THUMBNAIL) >= 2


def test_an_edited_picture_is_a_picture(run, store):
    """Bytes that any library opens."""
    for picture in values(store, "photos/edited", DAY):
        with PIL.Image.open(io.BytesIO(picture["bytes"])) as image:
            assert image.size == (1536, 1024)


def keys(definitions: dg.Definitions) -> set[str]:
    """The assets of the definitions."""
    return {spec.key.to_user_string() for spec in definitions.resolve_all_asset_specs()}


@pytest.fixture
def clean(monkeypatch):
    for name in ("PXT_LIVE", "PXT_DEMO_FILES", "PXT_DEMO_KEY", "PXT_DEMO_TEXT"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_a_reply_is_drafted_by_how_similar_tickets_were_solved(run, store):
    """Each ticket's context are three of them, the most similar first, and their replies."""
    contexts = [json.loads(context) for context in values(store, "tickets/context", DAY)]
    assert all(len(context) == 3 for context in contexts)
    assert all({"id", "score", "body", "reply"} == set(one) for context in contexts for one in context)
    parcel = contexts[1]
    assert "Where is my parcel?" in parcel[0]["body"]
    assert parcel[0]["score"] == max(one["score"] for one in parcel) > 0.2
    assert metadata(run, "solved/body_idx")["pxt/rows_indexed"] == 24


def test_the_code_location_has_all_tables(clean):
    """In the same partitions, or none, so that one run can materialize all."""
    found = defs()
    assert keys(found) >= {"solved/body_idx", "tickets/reply", "photos", "photos/edited"}
    partitions = {spec.partitions_def for spec in found.resolve_all_asset_specs()}
    assert partitions == {DEMO_DAYS, None}


def test_with_files_of_ones_own_there_are_no_photos(clean, tmp_path):
    """They are not those of somebody else's tickets."""
    clean.setenv("PXT_DEMO_FILES", f"{tmp_path}/{{partition_key}}.csv")
    assert {key.partition("/")[0] for key in keys(defs())} == {"tickets"}


def test_each_column_leads_to_the_line_that_declares_it():
    """In the demo's own file, as it does in a user's."""
    source = Path(graph.__file__)
    lines = source.read_text().splitlines()
    for table in demo_tables():
        for asset in table.assets[1:]:
            (line,) = next(iter(asset.specs)).metadata["dagster/code_references"].code_references
            assert Path(line.file_path) == source
            assert any(
                call in lines[line.line_number - 1] for call in ("add_computed_column", "add_embedding_index")
            )
