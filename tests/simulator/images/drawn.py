"""Pictures that OpenAI's own client asks the simulator for, and how they compare."""

import asyncio
import base64
import io
import json
import warnings
from pathlib import Path

import httpx2
import numpy as np
import openai
from jsonschema import Draft202012Validator
from PIL import Image, ImageDraw

API = json.loads((Path(__file__).parent / "openai_images_answers.json").read_text())
PROMPT = "A lighthouse in a storm, oil on canvas"


def png(size=(64, 64), colour=(200, 30, 30), mode="RGB", clear=None):
    """A PNG of one colour, with a box that is transparent, if any."""
    image = Image.new(mode, size, colour)
    if clear:
        ImageDraw.Draw(image).rectangle(clear, fill=(0, 0, 0, 0))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def mask(size=(64, 64), clear=(0, 0, 31, 31)):
    return png(size, (0, 0, 0, 255), "RGBA", clear)


def ask(simulator, call):
    """What `call(client)` answers, with a client that does not retry."""

    async def with_client():
        http_client = httpx2.AsyncClient(transport=httpx2.ASGITransport(simulator.app))
        client = openai.AsyncOpenAI(
            base_url="http://simulator/v1", api_key="sk-test", max_retries=0, http_client=http_client
        )
        async with client:
            return await call(client)

    return asyncio.run(with_client())


def generate(simulator, prompt=PROMPT, model="gpt-image-2", **arguments):
    return ask(simulator, lambda client: client.images.generate(prompt=prompt, model=model, **arguments))


def edit(simulator, image=None, prompt=PROMPT, model="gpt-image-1.5", **arguments):
    image = image or ("a.png", png(), "image/png")
    return ask(
        simulator, lambda client: client.images.edit(image=image, prompt=prompt, model=model, **arguments)
    )


def vary(simulator, **arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return ask(
            simulator, lambda client: client.images.create_variation(image=("a.png", png()), **arguments)
        )


def pictures(answer):
    return [Image.open(io.BytesIO(base64.b64decode(item.b64_json))) for item in answer.data]


def pixels(image):
    return np.asarray(image.convert("RGB")).astype(int)


def difference(first, second):
    """Share of the pixels that differ."""
    return (pixels(first) != pixels(second)).any(axis=2).mean()


def conforms(answer):
    reference = {"$ref": "#/components/schemas/ImagesResponse", "components": API["components"]}
    Draft202012Validator(reference).validate(json.loads(answer.to_json()))
