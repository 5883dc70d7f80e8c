"""Columns over images and sounds, materialized: whatever form these come in, and whatever goes wrong."""

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.api import client
from pxt_assets.compute import compute_partition as run
from pxt_assets.compute.asking import cell_requester as ask
from pxt_assets.compute.asking import in_flight_bound as room
from pxt_assets.compute.cells import journal
from pxt_assets.compute.partition import inputs
from pxt_assets.compute.storing import assemble
from pxt_assets.errors import DefinitionError
from pxt_assets.functions import (
    chat_completions,
    image_edits,
    image_generations,
    speech,
    transcriptions,
)
from pxt_assets.throttle import pools
from pxt_assets.values.media import opened
from pxt_assets.values.types import Audio, Image, Json
from tests.pictures import mask, picture, sound
from tests.runs import failure, materialize, message, metadata, rows_asset, stored, values
from tests.scripted_server import (
    Asked,
    Reply,
    Script,
    ScriptedServer,
    Uploaded,
    at_first,
    refusal,
    resource_of,
)

PICTURE = {"image": Image}
PNG = picture()
URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
COLORS = ("red", "green", "blue", "yellow", "black", "white")


def captioned(tbl: Table, column: str = "image", name: str = "c", **options: Any) -> Any:
    """Adds a column that asks what is to be seen on an image."""
    content = [{"type": "image_url", "image_url": tbl[column]}]
    caption = chat_completions([{"role": "user", "content": content}], model="gpt-6-luna")
    return tbl.add_computed_column(**{name: caption}, **options)


def sent_url(asked: Asked) -> str:
    return str(asked.body["messages"][0]["content"][0]["image_url"]["url"])


def images(*contents: bytes, **more: Any) -> Script:
    """Answers with these images."""
    data = [{"b64_json": base64.b64encode(content).decode()} for content in contents]
    return lambda _: Reply({"created": 1, "data": data, **more})


def errors(store: ColumnStore, asset: str) -> list[str | None]:
    name = asset.rpartition("/")[2]
    return list(stored(store, asset)[f"{name}_errortype"].to_pylist())


@pytest.fixture
def photos(tmp_path) -> Path:
    """A folder of three photos."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for color in COLORS[:3]:
        (folder / f"{color}.jpg").write_bytes(picture(color, format="JPEG"))
    return folder


class TestForms:
    def run(self, store: ColumnStore, openai: OpenAIResource, column: Any, schema: Any = None) -> None:
        upstream = column if isinstance(column, dg.AssetsDefinition) else rows_asset({"image": column})
        tbl = Table(upstream, schema=schema)
        captioned(tbl, on_error="ignore")
        materialize([upstream, *tbl.assets], store, openai)

    @pytest.mark.parametrize(
        "arrow_type",
        [
            pa.binary(),
            pa.large_binary(),
            pa.binary_view(),
            pa.dictionary(pa.int32(), pa.binary()),
            pa.binary(len(PNG)),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("schema", [None, PICTURE], ids=["undeclared", "declared"])
    def test_bytes(self, store, server, openai, arrow_type, schema):
        """Of any Arrow type, declared or not: at image_url bytes can be nothing else."""
        self.run(store, openai, pa.array([PNG, None], arrow_type), schema)
        assert [sent_url(asked) for asked in server.asked] == [URL]
        assert values(store, "tickets/c")[1] is None

    @pytest.mark.parametrize(
        "arrow_type",
        [
            Image.arrow(),
            pa.struct([("path", pa.large_string()), ("bytes", pa.large_binary())]),
            pa.struct([("bytes", pa.binary_view()), ("path", pa.string_view())]),
        ],
        ids=str,
    )
    def test_structs(self, store, server, openai, arrow_type):
        """As Hugging Face datasets have them, whatever program wrote them."""
        column = pa.array([{"bytes": PNG, "path": None}, None, {"bytes": None, "path": None}], arrow_type)
        self.run(store, openai, column)
        assert [sent_url(asked) for asked in server.asked] == [URL]
        assert errors(store, "tickets/c") == [None, None, None]

    def test_paths_and_urls(self, store, server, openai, photos, monkeypatch):
        """Read from where they are, but for what the API fetches by itself."""
        monkeypatch.chdir(photos.parent)
        (photos / "a link.jpg").symlink_to(photos / "red.jpg")
        paths = [
            str(photos / "red.jpg"),
            "photos/red.jpg",
            (photos / "a link.jpg").as_uri(),
            URL,
            "https://h/a.png",
        ]
        self.run(store, openai, paths, PICTURE)
        assert errors(store, "tickets/c") == [None] * 5
        found = sorted(sent_url(asked)[:22] for asked in server.asked)
        assert found == ["data:image/jpeg;base64", "data:image/png;base64,", "https://h/a.png"]

    def test_json_that_holds_them(self, store, server, openai):
        """Declared Image, a column of JSON is read as such."""
        column = pa.ExtensionArray.from_storage(Json.arrow(), pa.array([f'"{URL}"', "null", '{"url": "x"}']))
        self.run(store, openai, column, PICTURE)
        assert [sent_url(asked) for asked in server.asked] == [URL]
        assert errors(store, "tickets/c") == [None, None, "TypeError"]

    def test_a_frame_of_pil_images(self, store, server, openai):
        """Beside bytes and missing values; a JPEG is sent as one."""
        jpeg = opened(picture(format="JPEG"))

        @dg.asset(io_manager_key="columns")
        def tickets() -> pd.DataFrame:
            return pd.DataFrame({"image": [PIL.Image.new("RGB", (2, 2)), PNG, None, float("nan"), jpeg]})

        self.run(store, openai, tickets)
        assert sorted(sent_url(asked)[:16] for asked in server.asked) == [
            "data:image/jpeg;",
            "data:image/png;b",
            "data:image/png;b",
        ]
        assert stored(store, "tickets/c")["c"].null_count == 2

    def test_equal_images_are_asked_for_once(self, store, server, openai, photos):
        """The content names them, wherever it comes from."""
        (photos / "again.jpg").write_bytes((photos / "red.jpg").read_bytes())
        self.run(store, openai, [str(photos / "red.jpg"), str(photos / "again.jpg")] * 500, PICTURE)
        assert len(server.asked) == 1

    def test_a_path_that_is_not_declared_is_not_read(self, store, server, openai, photos):
        """Text of a table does not choose what is sent from this machine."""
        self.run(store, openai, [str(photos / "red.jpg")])
        assert not server.asked
        assert errors(store, "tickets/c") == ["TypeError"]

    def test_each_bad_row_fails_alone(self, store, server, openai, photos):
        """The others are computed; no message quotes what a file holds."""
        (photos / "secret.png").write_bytes(b"password=hunter2")
        (photos / "empty.png").write_bytes(b"")
        bad = [
            "~/a.png",
            "http//x",
            "//[x",
            "a\0b",
            "",
            str(photos),
            str(photos / "secret.png"),
            str(photos / "empty.png"),
            "ftp://h/a.png",
            "data:image/png;base64,%%%",
            "x" * 10_000,
        ]
        self.run(store, openai, [*bad, str(photos / "red.jpg")], PICTURE)
        *failed, good = errors(store, "tickets/c")
        assert None not in failed
        assert good is None
        assert len(server.asked) == 1
        said = stored(store, "tickets/c")["c_errormsg"].to_pylist()
        assert all(len(text) < 400 and "hunter2" not in text for text in said[:-1])


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
        """As thumbnails, in the materialization's metadata."""
        said = metadata(run(first=lambda t: t.drawn.data[0]), "tickets/first")
        assert "![png](data:image/jpeg;base64," in said["pxt/preview"]


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
        request = image_generations.ask({"prompt": "x", "model": "gpt-image-2"})
        other = speech.ask({"input": "x", "model": "tts-1", "voice": "nova"})
        assert (paced._pool_of(pools, request).rpm, paced._pool_of(pools, other).rpm) == (120, 600)


class TestUploads:
    def heard(self, store: ColumnStore, openai: OpenAIResource, sounds: list[Any], **options: Any) -> Any:
        upstream = rows_asset({"audio": sounds})
        tbl = Table(upstream, schema={"audio": Audio})
        tbl.add_computed_column(c=transcriptions(tbl.audio, model="whisper-1"), **options)
        fails = options.pop("fails", False)
        return materialize([upstream, *tbl.assets], store, openai, fails=fails)

    def test_a_retry_sends_the_file_again_in_full(self, store, server, openai, monkeypatch):
        """After a fault nothing of the first attempt counts."""
        monkeypatch.setattr(client, "backoff_seconds", lambda *_: 0.0)
        server.script = at_first([refusal(500), None], lambda _: Reply({"text": "Hi"}))
        self.heard(store, resource_of(server, max_retries=2), [sound()])
        assert [asked.body["file"].content for asked in server.asked] == [sound()] * 3
        assert values(store, "tickets/c") == ['{"text":"Hi"}']

    def test_a_file_that_a_proxy_finds_too_large_fails_alone(self, store, server, openai):
        """413 is that row's."""
        large = sound(1.0)

        def script(asked: Asked) -> Reply:
            is_large = len(asked.body["file"].content) == len(large)
            return Reply(b"<html>Too Large</html>", 413) if is_large else Reply({"text": "Hi"})

        server.script = script
        self.heard(store, openai, [large, sound()], on_error="ignore")
        assert errors(store, "tickets/c") == ["APIStatusError", None]
        assert len(server.asked) == 2

    def test_a_file_over_the_limit_is_not_sent(self, store, server, openai, tmp_path):
        """Nor is a file that is no recording, a URL, or nothing."""
        large = tmp_path / "large.wav"
        large.write_bytes(b"RIFF\0\0\0\0WAVE")
        with large.open("r+b") as file:
            file.truncate(26 * 2**20)
        (tmp_path / "a.wav").write_bytes(PNG)
        paths = [str(large), str(tmp_path / "a.wav"), "https://h/a.wav", None]
        self.heard(store, openai, paths, on_error="ignore")
        assert errors(store, "tickets/c") == ["AudioTooLarge", "NotMedia", "UrlNotFetched", None]
        assert not server.asked

    @pytest.mark.parametrize(
        ("format", "answer"),
        [
            ("text", b"\xef\xbb\xbfHi\r\n"),
            ("srt", b"1\r\n00:00:00,000 --> 00:00:01,000\r\nHi\r\n"),
            ("vtt", b"WEBVTT\n\n00:00.000 --> 00:01.000\nHi\n"),
        ],
    )
    def test_transcripts_that_are_no_json(self, store, server, openai, format, answer):
        """Whatever content type they come with."""
        server.script = lambda _: Reply(answer)
        upstream = rows_asset({"audio": [sound()]})
        tbl = Table(upstream, schema={"audio": Audio})
        tbl.add_computed_column(c=transcriptions(tbl.audio, model="whisper-1", response_format=format))
        tbl.add_computed_column(text=tbl.c[format])
        materialize([upstream, *tbl.assets], store, openai)
        assert "Hi" in values(store, "tickets/text")[0]

    @pytest.mark.parametrize("body", [b"", b'{"error": "no"}', b"<html>"])
    def test_speech_that_is_none_is_its_rows_error(self, store, server, openai, body):
        """Though its status is 200."""
        server.script = lambda _: Reply(body, headers={"content-type": "audio/mpeg"})
        upstream = rows_asset({"text": ["Hi"]})
        tbl = Table(upstream)
        tbl.add_computed_column(c=speech(tbl.text, model="tts-1", voice="nova"), on_error="ignore")
        materialize([upstream, *tbl.assets], store, openai)
        assert errors(store, "tickets/c") == ["InvalidAnswer"]


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
        assert "1 of 3 rows failed: row 1: BadRequestError" in failure(failed).description
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


class TestBounds:
    @pytest.fixture
    def small(self, monkeypatch) -> int:
        """Bounds that two of the pictures below reach."""
        bound = 2 * len(PNG) - 1
        for module, name in (
            (journal, "_BYTES_A_SEGMENT"),
            (assemble, "_BYTES_A_GROUP"),
            (room, "_BYTES"),
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
        monkeypatch.setattr(room, "_BYTES", bound)
        outstanding: list[int] = []
        start = ask.Asker._start

        def noted(self: Any, *cell: Any) -> None:
            outstanding.append(self._room._bytes)
            start(self, *cell)

        monkeypatch.setattr(ask.Asker, "_start", noted)
        upstream, tbl = self.table([picture((i, 0, 0)) for i in range(12)])
        captioned(tbl)
        materialize([upstream, *tbl.assets], store, openai)
        assert len(server.asked) == len(outstanding) == 12
        assert 0 < max(outstanding) <= bound

    def test_images_that_are_the_same_for_all_rows_count_too(self, store, server, openai, monkeypatch):
        """Each request on its way has a text of its own of them."""
        monkeypatch.setattr(room, "_BYTES", 0)
        outstanding: list[int] = []
        start = ask.Asker._start

        def noted(self: Any, *cell: Any) -> None:
            outstanding.append(self._room._bytes)
            start(self, *cell)

        monkeypatch.setattr(ask.Asker, "_start", noted)
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
        finished = run.finished_cells

        def noted(column: Any, cells: Any, digests: Any, refused: Any, interrupted: Any) -> Any:
            held.extend(refused._open)
            return finished(column, cells, digests, refused, interrupted)

        monkeypatch.setattr(run, "finished_cells", noted)
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
        content = media._content
        monkeypatch.setattr(media, "_content", lambda *a: (read.append(len(server.asked)), content(*a))[1])
        tbl = Table.from_files("pics", f"{tmp_path}/*.png", key="path")
        captioned(tbl)
        materialize(tbl.assets, store, openai)
        assert len(read) == 12
        assert read[:2] == [0, 0]
        assert read[-1] > 0
