"""Requests for pictures as a test malforms them, and the error that refuses one."""

import asyncio
import io

from PIL import Image, ImageDraw

GENERATIONS = "/v1/images/generations"
EDITS = "/v1/images/edits"
VARIATIONS = "/v1/images/variations"


def png(size=(64, 64), mode="RGBA", format="PNG"):
    image = Image.new(mode, size)
    ImageDraw.Draw(image).rectangle((0, 0, 9, 9), fill=0)
    file = io.BytesIO()
    image.save(file, format)
    return file.getvalue()


PNG = png()
JPEG = png(mode="RGB", format="JPEG")
IMAGE = ("a.png", PNG, "image/png")


def generate(simulator, **changes):
    body = {"model": "gpt-image-2", "prompt": "A cat.", **changes}
    return simulator.post(GENERATIONS, {name: value for name, value in body.items() if value is not ...})


def send(simulator, path, files, headers=None, **data):
    """The answer to a form; `files` are pairs of a field and a file."""

    async def post():
        async with simulator.client() as client:
            headers_sent = {"authorization": "Bearer sk-test", **(headers or {})}
            return await client.post(path, data=data, files=files, headers=headers_sent)

    return asyncio.run(post())


def edit(simulator, image=IMAGE, mask=None, **changes):
    data = {"model": "gpt-image-1.5", "prompt": "A cat.", **changes}
    files = [("image", image)] if image else [("other", IMAGE)]
    if mask is not None:
        files.append(("mask", ("m.png", mask)))
    return send(simulator, EDITS, files, **{name: value for name, value in data.items() if value is not ...})


def expect(response, code, param, status=400, type="invalid_request_error"):
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"], error["type"]) == (
        status,
        code,
        param,
        type,
    ), error
    return error["message"]
