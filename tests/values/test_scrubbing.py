"""Secrets in texts, however they are spelled and wherever they are cut."""

import base64
import html
import json
from urllib.parse import quote

import pytest

from pxt_assets.values.scrubbing import distinct_secrets, named_secrets, scrub, scrub_all, url_secrets

KEY = "sk-proj-" + "aB3/+x9Z_q7RtLm2Wc-5Yv8Kd'0Hs4Gn6Jp1Fe&iUoXz"

SPELLINGS = {
    "as it is": KEY,
    "in capitals": KEY.upper(),
    "of a URL": quote(KEY, safe=""),
    "of a URL in small digits": quote(KEY, safe="").lower(),
    "of a URL in a URL": quote(quote(KEY, safe=""), safe=""),
    "JSON": json.dumps(KEY).replace("/", "\\/"),
    "JSON of JSON": json.dumps(json.dumps(KEY).replace("/", "\\/")),
    "JSON by code": "".join(f"\\u{ord(c):04x}" for c in KEY),
    "Python by code": "".join(f"\\x{ord(c):02X}" for c in KEY),
    "HTML": html.escape(KEY),
    "HTML by code": "".join(f"&#{ord(c)};" for c in KEY),
    "broken lines": "\n  ".join(KEY[i : i + 9] for i in range(0, len(KEY), 9)),
    "broken lines in JSON": "\\n".join(KEY[i : i + 9] for i in range(0, len(KEY), 9)),
    "quoted-printable": "=\r\n".join(KEY[i : i + 30] for i in range(0, len(KEY), 30)),
    "breaks that may be": "<wbr>".join(KEY[i : i + 9] for i in range(0, len(KEY), 9)),
    "invisible breaks": "\u200b".join(KEY),
    "UTF-16": "\x00".join(KEY),
    "hexadecimal": KEY.encode().hex(),
    **{f"base64 after {n}": base64.b64encode(b"u" * n + KEY.encode() + b"zz").decode() for n in range(4)},
    "base64 of URLs": base64.urlsafe_b64encode(KEY.encode()).decode(),
}


def longest_left(text: str, secret: str = KEY) -> int:
    """How many characters of a secret, in one piece, are in a text."""
    return max(
        (
            n
            for n in range(1, len(secret) + 1)
            for i in range(len(secret) - n + 1)
            if secret[i : i + n] in text
        ),
        default=0,
    )


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_key_is_found_in_every_spelling(spelling: str) -> None:
    """What is around it stays."""
    shown = scrub(f"before {SPELLINGS[spelling]} after", (KEY,))
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert "***" in shown
    assert longest_left("".join(shown.split()).replace("\x00", "")) < 8
    assert len(shown) < 40


@pytest.mark.parametrize("length", range(12, len(KEY), 7))
def test_what_is_left_of_a_key_that_somebody_cut_is_found(length: int) -> None:
    """From either side, if twelve characters are left."""
    assert scrub(f"provided: {KEY[:length]}…", (KEY,)) == "provided: ***…"
    assert scrub(f"…{KEY[-length:]} is wrong", (KEY,)) == "…*** is wrong"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://pg:p@ss@host/db", "postgresql://***@host/db"),
        ("postgresql://host/db?user=pg&password=hush&x=1", "postgresql://host/db?user=pg&password=***&x=1"),
        ("https://host/v1?api-key=hush1&api_version=2", "https://host/v1?api-key=***&api_version=2"),
        (
            "AccountName=me;AccountKey=hush==;EndpointSuffix=x",
            "AccountName=me;AccountKey=***;EndpointSuffix=x",
        ),
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer ***"),
        ("mail a@b.c or see https://host/a?b=c", "mail a@b.c or see https://host/a?b=c"),
        ("the bearer certificates of basic education", "the bearer certificates of basic education"),
        ("tokens=5, the token is wrong", "tokens=5, the token is wrong"),
    ],
)
def test_what_looks_like_credentials_is_hidden_whoever_it_belongs_to(text: str, shown: str) -> None:
    """In URLs, in connection strings, in headers; not in other texts."""
    assert scrub(text) == shown


def test_texts_without_secrets_stay_as_they_are() -> None:
    """However they are escaped."""
    text = "100 % of a\\nb &amp; c = d, sk-proj-****abcd, sk-proj-… <br> 語 \u200b é"
    assert scrub(text, (KEY, "unused-key")) == text


def test_a_short_key_is_a_dummy() -> None:
    """`unused` for a server that wants none is a word like any other."""
    assert scrub("the key is unused", ("unused",)) == "the key is unused"


def test_texts_inside_lists_and_dicts_are_scrubbed() -> None:
    """Names as well."""
    assert scrub_all({KEY: [1, None, {"a": (KEY,)}]}, (KEY,)) == {"***": [1, None, {"a": ["***"]}]}


def test_the_secrets_of_urls_and_options_are_found() -> None:
    """By their place in a URL and by the names of options."""
    assert set(url_secrets("redis://u:p%40ss@h/0?sig=abc")) == {"p%40ss", "p@ss", "u:p%40ss", "u:p@ss", "abc"}
    options = {"key": "A" * 9, "client_kwargs": {"proxy": "http://u:hushhush@h"}, "region": "eu" * 9, "n": 5}
    assert distinct_secrets(named_secrets(options)) == ("u:hushhush", "A" * 9, "hushhush")
