"""Images are sent alike whatever form their rows hold them in: bytes, paths, URLs, objects of Python."""

import base64
from typing import Any

import dagster as dg
import pandas as pd
import PIL.Image
import pyarrow as pa
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.values.media import open_image
from pxt_assets.values.types import Image, Json
from tests.assets.captions import PICTURE, PNG, captioned, errors
from tests.pictures import picture
from tests.runs import materialize, rows_asset, stored, values
from tests.scripted_server import Asked

URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


def sent_url(asked: Asked) -> str:
    return str(asked.body["messages"][0]["content"][0]["image_url"]["url"])


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
        jpeg = open_image(picture(format="JPEG"))

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
