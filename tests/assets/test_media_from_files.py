"""Images whose rows are files: what is read again when files change, move or vanish."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.functions import speech, transcriptions
from tests.assets.captions import PICTURE, captioned, errors
from tests.pictures import picture
from tests.runs import materialize, metadata, stored, values


class TestFiles:
    @pytest.fixture
    def run(self, store: ColumnStore, openai: OpenAIResource, photos: Path) -> Callable[..., Any]:
        tbl = Table.from_files("pics", f"{photos}/*.jpg", key="path")
        captioned(tbl, on_error="ignore")

        def run(*, only: list[str] | None = None) -> dict[str, Any]:
            return metadata(materialize(tbl.assets, store, openai, only=only), "pics/c")

        return run

    def test_a_second_run_asks_for_nothing(self, run, server):
        """What is finished is known by its content."""
        assert run()["pxt/requests"] == 3
        assert run()["pxt/requests"] == 0
        assert len(server.asked) == 3

    def test_a_touched_file_is_not_computed_again(self, run, photos):
        """When it was written plays no part."""
        run()
        os.utime(photos / "red.jpg", (1, 1))
        assert run()["pxt/requests"] == 0

    def test_a_changed_file_is(self, run, server, photos):
        """Though its name is the same, and its size may be."""
        run()
        server.forget()
        (photos / "red.jpg").write_bytes(picture("black", format="JPEG"))
        assert run()["pxt/rows_computed"] == 1
        assert len(server.asked) == 1

    def test_a_moved_file_is_not(self, run, photos):
        """Its content is known."""
        run()
        (photos / "red.jpg").rename(photos / "z.jpg")
        assert run()["pxt/requests"] == 0

    def test_a_file_that_vanished_since_it_was_listed_fails_alone(self, run, store, photos):
        """Files are read when a column needs them."""
        run()
        (photos / "green.jpg").unlink()
        said = run(only=["pics/c"])
        assert (said["pxt/rows_failed"], said["pxt/rows_reused"]) == (1, 2)
        assert errors(store, "pics/c") == [None, "FileNotFoundError", None]

    def test_a_file_that_became_something_else_fails_alone(self, run, store, photos):
        """What it holds is looked at each time."""
        run()
        (photos / "green.jpg").write_bytes(b"password=hunter2")
        run(only=["pics/c"])
        assert errors(store, "pics/c") == [None, "NotMedia", None]
        assert "hunter2" not in str(stored(store, "pics/c").to_pylist())

    def test_an_unreadable_file_fails_alone(self, run, store, photos, monkeypatch):
        """As the file system says."""
        read = Path.read_bytes

        def refuse(path: Path) -> bytes:
            if path.name == "green.jpg":
                raise PermissionError(13, "denied")
            return read(path)

        monkeypatch.setattr(Path, "read_bytes", refuse)
        run()
        assert errors(store, "pics/c") == [None, "PermissionError", None]

    def test_from_photos_to_captions_to_speech_and_back(self, store, simulated, photos):
        """Columns of all kinds follow from each other, without the bytes of the photos being copied."""
        tbl = Table.from_files("pics", f"{photos}/", key="path", schema=PICTURE)
        captioned(tbl, name="response")
        tbl.add_computed_column(caption=tbl.response.choices[0].message.content)
        tbl.add_computed_column(spoken=speech(tbl.caption, model="gpt-4o-mini-tts", voice="nova"))
        tbl.add_computed_column(heard=transcriptions(tbl.spoken, model="whisper-1"))
        tbl.add_computed_column(text=tbl.heard.text)
        materialize(tbl.assets, store, simulated)
        assert all(values(store, "pics/text"))
        assert stored(store, "pics")["image"].to_pylist()[0]["bytes"] is None
        again = materialize(tbl.assets, store, simulated)
        assert [metadata(again, f"pics/{n}")["pxt/requests"] for n in ("response", "spoken", "heard")] == [
            0,
            0,
            0,
        ]

    def test_partitions_have_their_own_files(self, store, server, openai, tmp_path):
        """Each is computed and stored for itself; the same photo in two is asked for in each."""
        for day, colors in {"mon": ["red"], "tue": ["red", "blue"]}.items():
            (tmp_path / day).mkdir()
            for color in colors:
                (tmp_path / day / f"{color}.png").write_bytes(picture(color))
        days = dg.StaticPartitionsDefinition(["mon", "tue"])
        tbl = Table.from_files("pics", f"{tmp_path}/{{partition_key}}/*.png", key="path", partitions_def=days)
        captioned(tbl)
        materialize(tbl.assets, store, openai, span=("mon", "tue"))
        assert [stored(store, "pics/c", day).num_rows for day in ("mon", "tue")] == [1, 2]
        assert len(server.asked) == 3
