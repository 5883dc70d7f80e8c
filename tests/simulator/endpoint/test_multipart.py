"""Bodies of multipart/form-data: what they read as, how they name a request, and which are refused."""

import asyncio
import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from pxt_assets.simulator.endpoint import multipart as form
from pxt_assets.simulator.endpoint.endpoint import Upload
from pxt_assets.simulator.endpoint.errors import SimulatedError

PNG = b"\x89PNG\r\n\x1a\n\x00--frontier\r\n"
TYPE = "multipart/form-data; boundary=frontier"


def part(name, content, filename=None, content_type=None):
    head = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        head += f'; filename="{filename}"'
    if content_type is not None:
        head += f"\r\nContent-Type: {content_type}"
    return head.encode() + b"\r\n\r\n" + content + b"\r\n"


def body_of(*parts, boundary="frontier"):
    line = b"--" + boundary.encode()
    return b"".join(line + b"\r\n" + each for each in parts) + line + b"--\r\n"


def read(content, content_type=TYPE, *, chunk=65536, length=None):
    """The form that a request with this body holds."""
    chunks = [content[start : start + chunk] for start in range(0, len(content), chunk)] or [b""]
    messages = [
        {"type": "http.request", "body": each, "more_body": index + 1 < len(chunks)}
        for index, each in enumerate(chunks)
    ]

    async def receive():
        return messages.pop(0)

    headers = [(b"content-type", content_type.encode())]
    if length is not None:
        headers.append((b"content-length", b"%d" % length))
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    return asyncio.run(form.read_form(Request(scope, receive)))


def refusal_of(content, content_type=TYPE, **how):
    with pytest.raises(SimulatedError) as caught:
        read(content, content_type, **how)
    return caught.value


def test_text_fields_are_strings_and_files_are_uploads():
    """With the name and the content type that the part states, and the content to the byte."""
    content = body_of(part("prompt", "größer".encode()), part("image", b"\0\r\n\xff", "a.png", "image/png"))
    assert read(content) == {"prompt": "größer", "image": Upload("a.png", "image/png", b"\0\r\n\xff")}


@pytest.mark.parametrize(
    ("names", "read_as"),
    [
        (["x[]"], {"x": ["0"]}),
        (["x[]", "x[]"], {"x": ["0", "1"]}),
        (["x", "x"], {"x": ["0", "1"]}),
        (["x", "x[]"], {"x": ["0", "1"]}),
        (["x", "y"], {"x": "0", "y": "1"}),
        (["x[type]"], {"x[type]": "0"}),
    ],
)
def test_repeated_fields_are_lists(names, read_as):
    """As are those whose name says so, even if there is one of them."""
    assert read(body_of(*(part(name, b"%d" % i) for i, name in enumerate(names)))) == read_as


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_a_form_may_arrive_in_pieces(chunk):
    """Of any size, and with a file that contains what looks like the boundary."""
    content = body_of(part("n", b"2"), part("image", PNG[:-2] + b"!", "a.png", "image/png"))
    assert read(content, chunk=chunk) == {"n": "2", "image": Upload("a.png", "image/png", PNG[:-2] + b"!")}


def test_a_file_may_state_no_name_and_no_type():
    """It then has empty ones, which the endpoints judge."""
    assert read(body_of(part("image", b"a", ""))) == {"image": Upload("", "", b"a")}


def test_a_form_is_named_by_its_fields():
    """Whatever the boundary, the order of the fields, and the names of the files."""
    image, prompt = part("image", b"a", "a.png", "image/png"), part("prompt", b"b")
    name = form.digest_of_form(read(body_of(image, prompt)))
    other = body_of(prompt, part("image", b"a", "tmp1.png", "image/png"), boundary="xyz")
    assert form.digest_of_form(read(other, "multipart/form-data; boundary=xyz")) == name


def test_forms_of_other_fields_have_other_names():
    """Even where they would read the same one after the other."""
    forms = [
        {"a": "b", "c": "d"},
        {"a": "b1", "c": "d"},
        {"a": "bc", "d": ""},
        {"a": ["b", "c"]},
        {"a": ["bc"]},
        {"a": Upload("", "", b"b"), "c": "d"},
        {"ab": "", "c": "d"},
    ]
    assert len({form.digest_of_form(each) for each in forms}) == len(forms)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"--frontier",
        b"--frontier\r\n",
        b"--other\r\n" + part("a", b"b") + b"--other--",
        b"--frontier\r\nContent-Disposition: form-data\r\n\r\nx\r\n--frontier--",
        b"--frontier\r\nno header\r\n\r\nx\r\n--frontier--",
        body_of(part("a", b"x" * (1024 * 1024 + 1))),
        body_of(*[part("a", b"")] * 1001),
        body_of(part("a", b"b"), part("c", b"d" * 100, "c.png", "image/png"))[:-60],
    ],
)
def test_a_broken_form_is_refused(content):
    """400: it is malformed, is cut off, or has too many or too long text fields."""
    error = refusal_of(content)
    assert (error.status, error.type) == (400, "invalid_request_error")
    assert "multipart form" in str(error)


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary="])
def test_a_form_without_a_boundary_is_refused(content_type):
    """400, as for any form that cannot be read."""
    assert refusal_of(body_of(part("a", b"b")), content_type).status == 400


@settings(max_examples=100)
@given(
    content=st.binary(max_size=200)
    | st.lists(
        st.sampled_from(
            [b"--", b"frontier", b"\r\n", b"\r", b"\n", b"Content-Disposition: form-data", b'; name="a"']
        )
        | st.sampled_from([b'; filename="b"', b":", b"\0", b"\xff", b"x" * 90, b"Content-Type: image/png"]),
        max_size=30,
    ).map(b"".join),
    content_type=st.just(TYPE) | st.text(max_size=8).map(lambda text: f"multipart/form-data; {text}"),
    chunk=st.integers(1, 50),
)
def test_no_form_breaks_the_server(content, content_type, chunk):
    """Whatever is sent is read, or is refused."""
    with contextlib.suppress(SimulatedError):
        read(content, content_type.encode("latin-1", "replace").decode("latin-1"), chunk=chunk)


def test_an_oversized_form_is_refused(monkeypatch):
    """413, whether its length is stated or only shows as it arrives."""
    content = body_of(part("a", b"x" * 100, "a.png"))
    monkeypatch.setattr(form, "MAX_BYTES", len(content) - 1)
    for error in (refusal_of(content, chunk=10), refusal_of(content, length=len(content))):
        assert error.status == 413
        assert str(error) == f"Maximum content size limit ({len(content) - 1}) exceeded"
    monkeypatch.setattr(form, "MAX_BYTES", len(content))
    assert len(read(content, length=len(content))["a"].content) == 100


def test_files_stay_in_memory(monkeypatch):
    """Those of many megabytes too: nothing is left behind in the folder for temporary files."""

    def refuse(*_, **__):
        raise AssertionError("a temporary file is opened")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    content = body_of(part("a", bytes(3 * 1024 * 1024), "a.png"))
    assert len(read(content)["a"].content) == 3 * 1024 * 1024


def test_reading_takes_time_by_the_length_alone():
    """Four times the body in about four times the time, also where each line break may begin a boundary."""

    def seconds(megabytes):
        content = body_of(part("a", b"\r\n--fronti" * (megabytes * 100_000), "a.png"))
        started = time.perf_counter()
        read(content)
        return time.perf_counter() - started

    seconds(1)
    assert min(seconds(4) for _ in range(3)) < 10 * min(seconds(1) for _ in range(3)) + 0.05
