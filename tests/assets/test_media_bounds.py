"""How much of images is in memory, in a segment and in a row group at once."""

from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from pxt_assets import Table
from pxt_assets.api.answer_sizes import AnswerSizes
from pxt_assets.compute import compute_partition as run
from pxt_assets.compute.asking import cell_requester, in_flight_bound
from pxt_assets.compute.cells import journal
from pxt_assets.compute.partition import inputs
from pxt_assets.compute.storing import assemble
from pxt_assets.functions import chat_completions, image_edits, image_generations
from tests.assets.captions import COLORS, PICTURE, PNG, captioned, images
from tests.pictures import picture, sound
from tests.runs import materialize, rows_asset, values
from tests.scripted_server import Reply


class TestBounds:
    @pytest.fixture
    def small(self, monkeypatch) -> int:
        """Bounds that two of the pictures below reach."""
        bound = 2 * len(PNG) - 1
        for module, name in (
            (journal, "_BYTES_A_SEGMENT"),
            (assemble, "_BYTES_A_GROUP"),
            (in_flight_bound, "_BYTES"),
            (inputs, "_MEDIA_BYTES"),
        ):
            monkeypatch.setattr(module, name, bound)
        return bound

    def table(self, contents: list[bytes]) -> tuple[dg.AssetsDefinition, Table]:
        upstream = rows_asset({"id": range(len(contents)), "image": contents})
        return upstream, Table(upstream, key="id", schema=PICTURE)

    def test_large_cells_make_several_segments(self, store, server, openai, small, monkeypatch):
        """None much larger than the bound, but for one that holds a single larger cell; all are found again."""
        written: list[list[int]] = []
        table_of_cells = journal.table_of_cells

        def noted(cells: Any, *rest: Any) -> Any:
            written.append([cell.size for cell in cells])
            return table_of_cells(cells, *rest)

        monkeypatch.setattr(journal, "table_of_cells", noted)
        huge = picture(size=(2_000, 2_000), color="blue")
        assert len(huge) > small
        server.script = lambda asked: images(huge if asked.text == "3" else PNG)(asked)
        upstream = rows_asset({"p": [str(i) for i in range(12)]})
        tbl = Table(upstream)
        tbl.add_computed_column(c=image_generations(tbl.p, model="gpt-image-2"))
        materialize([upstream, *tbl.assets], store, openai)
        assert sum(map(len, written)) == 12
        assert len(written) >= 6
        for sizes in written:
            assert sum(sizes[:-1]) < small
        sizes = [len(cell["data"][0]["bytes"]) for cell in values(store, "tickets/c")]
        assert sizes == [len(huge) if i == 3 else len(PNG) for i in range(12)]

    def test_large_cells_make_several_row_groups(self, store, openai, small):
        """In row order; a cell larger than the bound has one of its own."""
        huge = picture(size=(2_000, 2_000))
        contents = [picture(COLORS[i % 6]) for i in range(20)]
        contents[7] = huge
        upstream, tbl = self.table(contents)
        tbl.add_computed_column(c=tbl.image)
        materialize([upstream, *tbl.assets], store, openai)
        file = pq.ParquetFile(store.file(dg.AssetKey(["tickets", "c"])).path.path)
        rows = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        assert sum(rows) == 20
        assert max(rows) <= 2
        assert [cell["bytes"] for cell in file.read()["c"].to_pylist()] == contents

    def test_cells_of_results_make_several_row_groups_too(self, store, server, openai, small):
        """A result has up to ten images."""
        server.script = images(*[PNG] * 4)
        upstream = rows_asset({"p": [str(i) for i in range(6)]})
        tbl = Table(upstream)
        tbl.add_computed_column(c=image_generations(tbl.p, model="gpt-image-2"))
        for _ in range(2):  # out of the journal, then out of the file
            materialize([upstream, *tbl.assets], store, openai, config={"tickets/c": {"refresh": True}})
        file = pq.ParquetFile(store.file(dg.AssetKey(["tickets", "c"])).path.path)
        assert file.num_row_groups == 6
        assert len(server.asked) == 12

    def test_few_large_images_are_outstanding_at_once(self, store, server, openai, monkeypatch):
        """What is asked for waits until what is on its way has come back."""
        bound = 2 * len(PNG) - 1
        monkeypatch.setattr(in_flight_bound, "_BYTES", bound)
        outstanding: list[int] = []
        start = cell_requester.CellRequester._start

        def noted(self: Any, *cell: Any, **more: Any) -> None:
            outstanding.append(self._in_flight._bytes)
            start(self, *cell, **more)

        monkeypatch.setattr(cell_requester.CellRequester, "_start", noted)
        upstream, tbl = self.table([picture((i, 0, 0)) for i in range(12)])
        captioned(tbl)
        materialize([upstream, *tbl.assets], store, openai)
        assert len(server.asked) == len(outstanding) == 12
        assert 0 < max(outstanding) <= bound

    def test_images_that_are_the_same_for_all_rows_count_too(self, store, server, openai, monkeypatch):
        """Each request on its way has a text of its own of them."""
        monkeypatch.setattr(in_flight_bound, "_BYTES", 0)
        outstanding: list[int] = []
        start = cell_requester.CellRequester._start

        def noted(self: Any, *cell: Any, **more: Any) -> None:
            outstanding.append(self._in_flight._bytes)
            start(self, *cell, **more)

        monkeypatch.setattr(cell_requester.CellRequester, "_start", noted)
        upstream = rows_asset({"text": ["a", "b", "c"]})
        tbl = Table(upstream)
        content = [{"type": "text", "text": tbl.text}, {"type": "image_url", "image_url": PNG}]
        tbl.add_computed_column(
            c=chat_completions([{"role": "user", "content": content}], model="gpt-6-luna")
        )
        materialize([upstream, *tbl.assets], store, openai)
        assert outstanding == [0, 0, 0]

    def test_what_failed_keeps_nothing_alive(self, store, server, openai, monkeypatch):
        """An error that is remembered would hold, by the frames in which it arose, what these held."""
        held: list[Any] = []
        finished = run.finished_cell_reader

        def noted(column: Any, cells: Any, digests: Any, refused: Any, interrupted: Any) -> Any:
            held.extend(refused._open)
            return finished(column, cells, digests, refused, interrupted)

        monkeypatch.setattr(run, "finished_cell_reader", noted)
        upstream = rows_asset({"image": [b"no image", sound()]})
        tbl = Table(upstream, schema=PICTURE)
        tbl.add_computed_column(c=image_edits(tbl.image, prompt="x", model="m"), on_error="ignore")
        materialize([upstream, *tbl.assets], store, openai)
        assert [[type(part) for part in error] for error in held] == [[int, str, str]] * 2

    def test_files_are_read_as_they_are_needed(self, store, server, openai, small, tmp_path, monkeypatch):
        """Not all of a batch at once: sixteen recordings may be gigabytes."""
        from pxt_assets.values import media

        for i in range(12):
            (tmp_path / f"{i:02}.png").write_bytes(picture((i, 0, 0)))
        read: list[int] = []
        content = media._read_bytes
        monkeypatch.setattr(media, "_read_bytes", lambda *a: (read.append(len(server.asked)), content(*a))[1])
        tbl = Table.from_files("pics", f"{tmp_path}/*.png", key="path")
        captioned(tbl)
        materialize(tbl.assets, store, openai)
        assert read[:2] == [0, 0]
        assert read[11] > 0
        assert read[12:] == [12] * 3  # once all are asked: they are drawn beside their captions


class TestAnswers:
    @pytest.fixture
    def sizes(self, monkeypatch) -> list[AnswerSizes]:
        """What each run learns of its answers; `before` is what was in flight at its first answer."""
        made: list[AnswerSizes] = []

        class Noted(AnswerSizes):
            def __init__(self) -> None:
                super().__init__()
                self.before: list[float] = []
                made.append(self)

            def note(self, request: Any, nbytes: int) -> None:
                self.before.append(self.in_flight)
                super().note(request, nbytes)

        monkeypatch.setattr(in_flight_bound, "AnswerSizes", Noted)
        return made

    @pytest.mark.parametrize("linked", [False, True])
    def test_few_images_are_asked_for_until_one_is_known(self, store, server, openai, sizes, linked):
        """Their own bytes count, also where the answer only links to them; in the end nothing is left in flight."""
        server.script = images(PNG)
        if linked:
            server.pages["/one.png"] = Reply(PNG)
            link = f"{server.base_url.removesuffix('/v1')}/one.png"
            server.script = lambda _: Reply({"created": 1, "data": [{"url": link}]})
        upstream = rows_asset({"p": [str(i) for i in range(40)]})
        tbl = Table(upstream)
        tbl.add_computed_column(c=image_generations(tbl.p, model="gpt-image-2"))
        materialize([upstream, *tbl.assets], store, openai)
        (learned,) = sizes
        assert learned.before[0] == 12 * 12 * 2**20
        assert len(learned.before) == 40
        assert learned.in_flight == pytest.approx(0)
        (kind,) = learned._sizes.values()
        assert len(PNG) <= kind.expected < 2 * len(PNG) + 1_000
        assert len(values(store, "tickets/c")) == 40
