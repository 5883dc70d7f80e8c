"""Sounds that rows upload and receive: sent again in full, refused alone."""

from typing import Any

import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.api import client
from pxt_assets.functions import speech, transcriptions
from pxt_assets.values.types import Audio
from tests.assets.captions import PNG, errors
from tests.pictures import sound
from tests.runs import materialize, rows_asset, values
from tests.scripted_server import Asked, Reply, at_first, refusal, resource_of


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

        def script(asked: Asked) -> Reply:
            content = sound() if asked.text == "Hi" else body
            return Reply(content, headers={"content-type": "audio/mpeg"})

        server.script = script
        upstream = rows_asset({"text": ["Hi", "Ho"]})
        tbl = Table(upstream)
        tbl.add_computed_column(c=speech(tbl.text, model="tts-1", voice="nova"), on_error="ignore")
        materialize([upstream, *tbl.assets], store, openai)
        assert errors(store, "tickets/c") == [None, "InvalidAnswer"]
