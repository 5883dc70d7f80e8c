"""Images that calls make: taken apart, stored whole, passed on, and kept by a run that fails."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.errors import DefinitionError
from pxt_assets.functions import image_edits, image_generations, speech
from pxt_assets.throttle import pools
from pxt_assets.values.types import Image
from tests.assets.captions import PICTURE, PNG, errors, images
from tests.pictures import mask, picture
from tests.runs import failure, materialize, message, metadata, rows_asset, stored, values
from tests.scripted_server import Asked, Reply, ScriptedServer, Uploaded, refusal, resource_of


class TestDerived:
    @pytest.fixture
    def run(self, store: ColumnStore, server: ScriptedServer, openai: OpenAIResource) -> Callable[..., Any]:
        def run(**columns: Callable[[Table], Any]) -> dg.ExecuteInProcessResult:
            upstream = rows_asset({"id": [1, 2], "p": ["a", None]})
            tbl = Table(upstream, key="id")
            tbl.add_computed_column(drawn=image_generations(tbl.p, model="gpt-image-2", n=2))
            for name, column in columns.items():
                tbl.add_computed_column(**{name: column(tbl)})
            return materialize([upstream, *tbl.assets], store, openai)

        server.script = images(picture("red"), picture("blue"), usage={"output_tokens": 7, "input_tokens": 1})
        return run

    def test_one_image_of_a_result(self, run, store):
        """Beyond the last one there is none; where there is no result, there is no image."""
        run(first=lambda t: t.drawn.data[0], last=lambda t: t.drawn.data[-1], none=lambda t: t.drawn.data[2])
        first, nothing = values(store, "tickets/first")
        assert (first["bytes"], nothing) == (picture("red"), None)
        assert values(store, "tickets/last")[0]["bytes"] == picture("blue")
        assert values(store, "tickets/none") == [None, None]

    @pytest.mark.parametrize(
        "path", [lambda t: t.drawn.data["*"], lambda t: t.drawn.data, lambda t: t.drawn.data[0:2]]
    )
    def test_all_images_of_a_result(self, run, store, path):
        """As a list of images, which is a column type of its own."""
        run(every=path, again=lambda t: t.every[1])
        every, nothing = values(store, "tickets/every")
        assert [image["bytes"] for image in every] == [picture("red"), picture("blue")]
        assert nothing is None
        assert values(store, "tickets/again")[0]["bytes"] == picture("blue")

    def test_what_stands_beside_the_images(self, run, store):
        """As JSON."""
        run(tokens=lambda t: t.drawn.usage.output_tokens, created=lambda t: t.drawn.created)
        assert values(store, "tickets/tokens") == [7, None]
        assert values(store, "tickets/created") == [1, None]

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            (lambda t: t.drawn.data["*"], "image[]"),
            (lambda t: [t.drawn.data[0], t.drawn.data[1]], "image[]"),
            (lambda t: t.drawn.data[0], "image"),
            (lambda t: t.every, "image[]"),
        ],
    )
    def test_images_go_into_other_calls(self, run, server, given, field):
        """One, or several; a null makes no request."""
        run(
            every=lambda t: t.drawn.data["*"],
            c=lambda t: image_edits(given(t), prompt="x", model="gpt-image-2"),
        )
        edited = server.asked[-1].body[field]
        first = edited[0] if isinstance(edited, list) else edited
        assert first == Uploaded(first.filename, "image/png", picture("red"))
        assert len(server.asked) == 2

    def test_calls_inside_each_other(self, run, server, store):
        """The inner one's image is not stored, and its request is named in the outer one's digest."""
        drawn = image_generations("x", model="gpt-image-2").data[0]
        for _ in range(2):
            run(c=lambda t: image_edits(drawn, prompt=t.p, model="gpt-image-2"))
        assert values(store, "tickets/c")[0]["data"][1]["bytes"] == picture("blue")
        assert len(server.asked) == 3

    @pytest.mark.parametrize(
        "template",
        [
            lambda t: {"x": t.image},
            lambda t: [{"y": [t.image]}],
            lambda t: {"x": image_generations(t.p, model="gpt-image-2")},
            lambda t: [image_generations(t.p, model="gpt-image-2").data[0]],
            lambda t: {"x": speech(t.p, model="tts-1", voice="nova")},
        ],
    )
    def test_images_inside_a_template_are_refused_at_once(self, template):
        """JSON holds none: every row would be paid for, and then fail."""
        tbl = Table("tickets", schema=PICTURE)
        with pytest.raises(DefinitionError, match="give each of them a column of its own"):
            tbl.add_computed_column(c=template(tbl))

    def test_a_preview_shows_them(self, run):
        """As thumbnails, in the materialization's metadata: tiny ones at once, larger ones after a click."""
        said = metadata(run(first=lambda t: t.drawn.data[0]), "tickets/first")
        assert "![png](data:image/webp;base64," in said["pxt/preview"]
        assert "![png](data:image/jpeg;base64," in said["pxt/preview_all"]


class TestImages:
    def drawn(self, store: ColumnStore, openai: OpenAIResource, prompts: list[str], **options: Any) -> Any:
        upstream = rows_asset({"p": prompts})
        tbl = Table(upstream)
        tbl.add_computed_column(c=image_generations(tbl.p, model="gpt-image-2"), **options)
        return materialize([upstream, *tbl.assets], store, openai, fails=options.get("on_error") != "ignore")

    def test_links_are_fetched_and_stored(self, store, server):
        """Without the key; nothing of the link is stored, since it is signed and soon dead."""
        root = server.base_url.removesuffix("/v1")
        server.script = lambda _: Reply({"created": 1, "data": [{"url": f"{root}/a.png?sig=s3cr3t"}]})
        server.pages = {"/a.png?sig=s3cr3t": Reply(PNG, headers={"content-type": "text/html"})}
        self.drawn(store, resource_of(server), ["a"], on_error="ignore")
        (cell,) = values(store, "tickets/c")
        assert cell["data"] == [{"bytes": PNG, "path": "image-0.png"}]
        assert [asked.path for asked in server.fetched] == ["/a.png?sig=s3cr3t"]
        assert "authorization" not in server.fetched[0].headers
        assert "s3cr3t" not in str(stored(store, "tickets/c").to_pylist())

    @pytest.mark.parametrize(
        ("data", "error"),
        [
            ([], "InvalidAnswer"),
            (None, "InvalidAnswer"),
            ([{"b64_json": "%%%"}], "InvalidAnswer"),
            ([{"url": 5}], "InvalidAnswer"),
            ([{"url": "https://[x"}], "DownloadError"),
            ([{"url": "file:///etc/passwd"}], "DownloadError"),
            ([{"url": "http://169.254.169.254/x"}], "DownloadError"),
            ([{"url": "{root}/absent.png?sig=s3cr3t"}], "DownloadError"),
            ([{"url": "{root}/page"}], "InvalidAnswer"),
        ],
        ids=repr,
    )
    def test_a_broken_answer_is_its_rows_error(self, store, server, data, error):
        """The others are computed."""
        root = server.base_url.removesuffix("/v1")
        server.pages = {"/page": Reply(b"<html>Sign in</html>")}
        filled = [
            {k: str(v).replace("{root}", root) if isinstance(v, str) else v for k, v in d.items()}
            for d in data or ()
        ]
        good = images(PNG)

        def script(asked: Asked) -> Reply | None:
            if asked.text != "bad":
                return good(asked)
            return Reply({"created": 1, "data": None if data is None else filled})

        server.script = script
        self.drawn(store, resource_of(server), ["bad", "good"], on_error="ignore")
        assert errors(store, "tickets/c") == [error, None]
        assert "s3cr3t" not in str(stored(store, "tickets/c").to_pylist())

    def test_masks_and_images_are_uploaded_whole(self, store, server, openai):
        """Out of columns; a mask that does not fit is its row's error."""
        server.script = images(PNG)
        upstream = rows_asset({"image": [PNG, PNG, PNG], "mask": [mask(), mask((8, 8)), None]})
        tbl = Table(upstream, schema={"image": Image, "mask": Image})
        edit = image_edits(tbl.image, prompt="x", model="gpt-image-2", mask=tbl.mask)
        tbl.add_computed_column(c=edit, on_error="ignore")
        materialize([upstream, *tbl.assets], store, openai)
        assert errors(store, "tickets/c") == [None, "ImageError", None]
        assert sorted("mask" in asked.body for asked in server.asked) == [False, True]

    def test_they_are_paced_evenly(self, store, openai):
        """At the rate of their model, 600 a minute where none is given."""
        paced = OpenAIResource(api_key="sk-paced", rate_limits={"gpt-image-2": 120})
        request = image_generations.cell_request({"prompt": "x", "model": "gpt-image-2"})
        other = speech.cell_request({"input": "x", "model": "tts-1", "voice": "nova"})
        assert (paced._pool_of(pools, request).rpm, paced._pool_of(pools, other).rpm) == (120, 600)


class TestInterrupted:
    def test_a_failed_run_keeps_what_is_finished(self, store, server, openai):
        """Large cells as well as small ones; the stored column is as it was."""
        good = images(PNG, PNG)

        def script(asked: Asked) -> Reply:
            return refusal(400) if asked.text == "b" else good(asked)

        server.script = script
        upstream = rows_asset({"p": ["a", "b", "c"]})
        tbl = Table(upstream)
        tbl.add_computed_column(c=image_generations(tbl.p, model="gpt-image-2"))
        failed = materialize([upstream, *tbl.assets], store, openai, fails=True)
        assert (
            "1 of 3 rows failed, another one was not tried: row 1: BadRequestError"
            in failure(failed).description
        )
        assert not store.file(dg.AssetKey(["tickets", "c"])).exists()
        asked = {a.text for a in server.asked}
        server.forget()
        server.script = good
        materialize([upstream, *tbl.assets], store, openai)
        assert {a.text for a in server.asked} == {"b"} | ({"a", "b", "c"} - asked)
        assert stored(store, "tickets/c")["c"].null_count == 0

    def test_the_key_is_nowhere_in_what_is_stored(self, store, server, openai, tmp_path):
        """Nor in what a failed run says, though a server quotes it."""
        server.script = lambda _: refusal(400, "your key sk-secret-4711 may not")
        upstream = rows_asset({"image": [PNG]})
        tbl = Table(upstream, schema=PICTURE)
        tbl.add_computed_column(c=image_edits(tbl.image, prompt="x", model="gpt-image-2"))
        said = message(materialize([upstream, *tbl.assets], store, openai, fails=True))
        assert "4711" not in said
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert files
        assert all(b"4711" not in path.read_bytes() for path in files)
