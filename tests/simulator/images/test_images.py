"""Pictures: generated, edited and varied, as OpenAI's own client meets them."""

import asyncio
import base64
import io
import json
import warnings
from pathlib import Path

import httpx2
import numpy as np
import openai
import pytest
from jsonschema import Draft202012Validator
from PIL import Image, ImageDraw

from pxt_assets.simulator.images.draw import draw_text, encode_image
from pxt_assets.simulator.images.pictures import KNOWN_TO_EDITS, KNOWN_TO_GENERATIONS, KNOWN_TO_VARIATIONS

API = json.loads((Path(__file__).parent / "openai_images_answers.json").read_text())

PROMPT = "A lighthouse in a storm, oil on canvas"
HOUR = 3600


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


def test_a_picture_is_drawn_from_its_prompt(simulator):
    """In the usual size, as PNG, in base64."""
    [image] = pictures(generate(simulator))
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (1024, 1024))
    assert difference(image, draw_text(PROMPT, (1024, 1024))) == 0


def test_the_answer_of_a_gpt_model_says_what_it_is(simulator):
    """Its options, and the tokens that it is billed by."""
    answer = generate(simulator, model="gpt-image-1.5", quality="medium", size="1024x1536", n=2)
    conforms(answer)
    assert (answer.background, answer.output_format) == ("opaque", "png")
    assert (answer.quality, answer.size) == ("medium", "1024x1536")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (10, 2 * 1584)
    assert answer.usage.total_tokens == 10 + 2 * 1584
    assert answer.usage.input_tokens_details.text_tokens == 10


@pytest.mark.parametrize(
    ("quality", "tokens"), [("low", 272), ("medium", 1056), ("high", 4160), ("auto", 4160)]
)
def test_a_better_picture_takes_more_tokens(simulator, quality, tokens):
    """As many as the API bills for a square one."""
    answer = generate(simulator, quality=quality)
    assert answer.usage.output_tokens == tokens
    assert answer.quality == ("high" if quality == "auto" else quality)


def test_several_pictures_of_a_prompt_differ(simulator):
    """As many as asked for."""
    first, second, third = pictures(generate(simulator, n=3))
    assert difference(first, second) > 0.5
    assert difference(second, third) > 0.5


def test_the_same_request_has_the_same_pictures(simulate):
    """To the byte, in another simulator too; another prompt has another picture."""
    first, again, other = (generate(simulate(), text, n=2) for text in ("A cat.", "A cat.", "A dog."))
    assert [item.b64_json for item in first.data] == [item.b64_json for item in again.data]
    assert first.data[0].b64_json != other.data[0].b64_json


@pytest.mark.parametrize(
    ("model", "size", "made"),
    [
        ("dall-e-2", "256x256", (256, 256)),
        ("dall-e-3", "1792x1024", (1792, 1024)),
        ("gpt-image-1", "1536x1024", (1536, 1024)),
        ("gpt-image-1", "auto", (1024, 1024)),
        ("chatgpt-image-latest", "1024x1536", (1024, 1536)),
        ("gpt-image-2", "1536x864", (1536, 864)),
        ("gpt-image-2", "3840x2160", (3840, 2160)),
        ("gpt-image-2.6-flare", "640x1920", (640, 1920)),
    ],
)
def test_a_picture_has_the_size_asked_for(simulator, model, size, made):
    """Of those that its model draws; the newer ones take any in steps of 16 pixels."""
    arguments = {"response_format": "b64_json"} if model.startswith("dall-e") else {}
    [image] = pictures(generate(simulator, model=model, size=size, **arguments))
    assert image.size == made


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
def test_a_picture_has_the_format_asked_for(simulator, format):
    """And looks the same in each, but for what a lossy one loses."""
    answer = generate(simulator, output_format=format)
    assert answer.output_format == format
    [image] = pictures(answer)
    assert image.format == format.upper()
    assert abs(pixels(image) - pixels(draw_text(PROMPT, image.size))).mean() < 3


def test_a_compressed_picture_is_smaller(simulator):
    """In the lossy formats."""
    large, small = (
        len(generate(simulator, output_format="jpeg", output_compression=share).data[0].b64_json)
        for share in (100, 20)
    )
    assert small < 0.7 * large


@pytest.mark.parametrize("format", ["png", "webp"])
def test_a_background_may_be_transparent(simulator, format):
    """In the formats that can say so."""
    answer = generate(simulator, model="gpt-image-1", background="transparent", output_format=format)
    assert answer.background == "transparent"
    [image] = pictures(answer)
    assert image.mode == "RGBA"
    assert image.getchannel("A").getextrema() == (0, 255)


def test_dall_e_3_says_what_it_made_of_the_prompt(simulator):
    """Marked as simulated; dall-e-2 leaves prompts as they are."""
    assert generate(simulator, model="dall-e-3", style="natural", quality="hd").data[0].revised_prompt == (
        f"[simulated] {PROMPT}"
    )
    answer = generate(simulator, model="dall-e-2")
    assert answer.data[0].revised_prompt is None
    assert answer.usage is None
    conforms(answer)


def test_a_picture_is_found_at_its_url(simulator):
    """The default of dall-e: below the root that the request came to, without a key."""
    answer = generate(simulator, model="dall-e-2", size="256x256", n=2)
    conforms(answer)
    urls = [item.url for item in answer.data]
    assert len(set(urls)) == 2
    assert all(url.startswith("http://simulator/simulator/files/img-") for url in urls)
    first = simulator.get(urls[0], key=None)
    assert first.headers["content-type"] == "image/png"
    assert first.headers["x-pxt-simulated"] == "true"
    image = Image.open(io.BytesIO(first.content))
    assert difference(image, draw_text(PROMPT, (256, 256))) == 0
    assert simulator.get(urls[1], key=None).content != first.content


def test_a_picture_is_served_for_an_hour(simulator):
    """Then the URL leads nowhere, as the API's."""
    url = generate(simulator, model="dall-e-2", size="256x256").data[0].url
    simulator.time.now += HOUR - 1
    assert simulator.get(url, key=None).status_code == 200
    simulator.time.now += 1
    response = simulator.get(url, key=None)
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "file_not_found"


def test_new_pictures_make_old_ones_go(simulator, monkeypatch):
    """When together they take more memory than is given to them."""
    monkeypatch.setattr("pxt_assets.simulator.images.served_files.MAX_BYTES", 20_000)
    urls = [generate(simulator, f"Picture {i}", "dall-e-2", size="256x256").data[0].url for i in range(20)]
    found = [simulator.get(url, key=None) for url in urls]
    assert (found[0].status_code, found[-1].status_code) == (404, 200)
    assert sum(len(each.content) for each in found if each.status_code == 200) <= 20_000


def test_the_hour_begins_anew_with_the_same_request(simulator):
    """Its pictures have the same URLs."""
    first = generate(simulator, model="dall-e-2", size="256x256").data[0].url
    simulator.time.now += HOUR / 2
    assert generate(simulator, model="dall-e-2", size="256x256").data[0].url == first
    simulator.time.now += HOUR / 2 + 1
    assert simulator.get(first, key=None).status_code == 200


def test_an_edit_draws_where_the_mask_is_transparent(simulator):
    """And leaves the picture as it was elsewhere, but for the mark in the corner."""
    [image] = pictures(edit(simulator, mask=("m.png", mask()), size="1024x1024"))
    seen = pixels(image)
    assert image.size == (1024, 1024)
    assert (seen[:900, 520:] == (200, 30, 30)).all()
    assert (seen[520:900] == (200, 30, 30)).all()
    assert (seen[:500, :500] != (200, 30, 30)).any(axis=2).mean() > 0.9


def test_an_edit_without_a_mask_draws_the_lower_band(simulator):
    """So that the picture is still to be recognised."""
    [image] = pictures(edit(simulator))
    seen = pixels(image)
    assert (seen[:768] == (200, 30, 30)).all()
    assert (seen[768:] != (200, 30, 30)).any(axis=2).mean() > 0.9


def test_a_transparent_part_of_the_picture_is_a_mask_too(simulator):
    """Without another one."""
    image = png((64, 64), (200, 30, 30, 255), "RGBA", clear=(32, 0, 63, 31))
    [edited] = pictures(
        edit(simulator, ("a.png", image), model="dall-e-2", response_format="b64_json", size="512x512")
    )
    seen = pixels(edited)
    assert (seen[:450, :230] == (200, 30, 30)).all()
    assert (seen[:250, 260:] != (200, 30, 30)).any(axis=2).mean() > 0.9


def test_a_mask_without_a_transparent_part_changes_nothing(simulator):
    """But for the mark in the corner."""
    [image] = pictures(edit(simulator, mask=("m.png", mask(clear=None))))
    assert (pixels(image)[:900] == (200, 30, 30)).all()


def test_many_pictures_may_be_edited_into_one(simulator):
    """The first is the ground, the others are shown on it; each costs tokens."""
    images = [(f"{i}.png", png(colour=(0, 0, 40 * i))) for i in range(1, 4)]
    answer = edit(simulator, images)
    conforms(answer)
    seen = pixels(pictures(answer)[0])
    assert (seen[400, 900] == (0, 0, 40)).all()
    assert (seen[5, 5] == (0, 0, 80)).all()
    assert (seen[5, 300] == (0, 0, 120)).all()
    assert answer.usage.input_tokens_details.image_tokens == 3 * 194


def test_several_edits_of_a_picture_differ(simulator):
    """And the same request has the same ones, whatever boundary the client draws for its form."""
    first, again = (edit(simulator, n=2, model="dall-e-2", size="256x256") for _ in range(2))
    assert [item.url for item in first.data] == [item.url for item in again.data]
    contents = [simulator.get(item.url, key=None).content for item in first.data]
    assert contents[0] != contents[1]


@pytest.mark.parametrize(
    ("shape", "made"), [((90, 60), (1536, 1024)), ((60, 90), (1024, 1536)), ((60, 64), (1024, 1024))]
)
def test_an_edit_is_shaped_like_its_picture(simulator, shape, made):
    """Unless a size is asked for."""
    answer = edit(simulator, ("a.png", png(shape)))
    assert answer.size == f"{made[0]}x{made[1]}"
    assert pictures(answer)[0].size == made


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16", "CMYK"])
def test_pictures_of_every_kind_are_edited(simulator, mode):
    """In colours, grey, with a palette, for print, and with 16 bits."""
    file = io.BytesIO()
    format, kind = ("JPEG", "image/jpeg") if mode == "CMYK" else ("PNG", "image/png")
    Image.new(mode, (40, 30)).save(file, format)
    assert pictures(edit(simulator, ("a", file.getvalue(), kind)))[0].size == (1536, 1024)


def test_an_edit_may_be_asked_for_in_json(simulator):
    """With pictures as data URLs; the answer is that to the form."""
    url = f"data:image/png;base64,{base64.b64encode(png()).decode()}"
    cover = f"data:image/png;base64,{base64.b64encode(mask()).decode()}"
    body = {
        "model": "gpt-image-1.5",
        "prompt": PROMPT,
        "images": [{"image_url": url}],
        "mask": {"image_url": cover},
    }
    answer = simulator.post("/v1/images/edits", body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"][0]["b64_json"] == edit(simulator, mask=("m.png", mask())).data[0].b64_json


def test_fine_input_costs_more(simulator):
    """As it does with the API."""
    coarse, fine = (edit(simulator, input_fidelity=each).usage.input_tokens for each in ("low", "high"))
    assert fine - coarse == 4160


def test_a_variation_mirrors_and_tints_the_picture(simulator):
    """Each of them in a colour of its own, in the size asked for."""
    source = Image.new("RGB", (64, 64), (250, 250, 250))
    source.paste((0, 0, 0), (0, 0, 32, 64))
    file = io.BytesIO()
    source.save(file, "PNG")

    def call(client):
        return client.images.create_variation(
            image=("a.png", file.getvalue()), n=2, size="256x256", response_format="b64_json"
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        answer = ask(simulator, call)
    conforms(answer)
    first, second = pictures(answer)
    assert first.size == second.size == (256, 256)
    seen = pixels(first)
    assert seen[:200, :100].mean() > 100 + seen[:200, 156:].mean()
    assert difference(first, second) > 0.9


def test_the_client_reads_a_variation(simulator):
    """By URL, which is the default."""
    url = vary(simulator, model="dall-e-2", size="512x512").data[0].url
    assert Image.open(io.BytesIO(simulator.get(url, key=None).content)).size == (512, 512)


def test_every_picture_is_marked():
    """With a legible word in the lower left corner, and in the comment of a PNG."""
    image = draw_text("", (512, 512))
    corner = image.crop((0, 480, 120, 512))
    assert (0, 0, 0) in corner.get_flattened_data()
    assert (255, 255, 255) in corner.get_flattened_data()
    assert Image.open(io.BytesIO(encode_image(image, "png"))).text == {"Comment": "[simulated]"}


@pytest.mark.parametrize("text", [" ", "x" * 5000, "word " * 5000, "\ud800\0\n", "日本語", "🎉"])
@pytest.mark.parametrize("size", [(1, 1), (9, 300), (300, 9), (256, 256), (1024, 1024)])
def test_every_text_is_drawn(text, size):
    """Blank ones, endless words, signs that the font lacks, and into the narrowest hole of a mask."""
    image = draw_text(text, size)
    assert image.size == size
    assert Image.open(io.BytesIO(encode_image(image, "png"))).convert("RGB").tobytes() == image.tobytes()


def test_a_usual_picture_is_small():
    """Below 60 KB, so that a rehearsal of thousands fits on a disk."""
    for text in (PROMPT, "The quick brown fox jumps over the lazy dog. " * 20):
        assert len(encode_image(draw_text(text, (1024, 1024)), "png")) < 60_000


def test_longer_texts_are_written_smaller():
    """So that they fit: nothing is written upon the margin."""
    for length in (1, 5, 40, 80):
        image = draw_text("lighthouse " * length, (512, 512))
        ink = (pixels(image)[:490] > 225).all(axis=2)
        assert ink.any()
        assert not ink[:, :20].any()
        assert not ink[:, -20:].any()
        assert not ink[:20].any()


@pytest.mark.parametrize(
    ("endpoint", "known"),
    [
        ("images/generations", KNOWN_TO_GENERATIONS),
        ("images/edits", KNOWN_TO_EDITS),
        ("images/variations", KNOWN_TO_VARIATIONS),
    ],
)
def test_the_arguments_of_the_api_are_known(endpoint, known):
    """All of them; an edit's form takes the arguments of its JSON too."""
    in_json = API["arguments"].get(f"{endpoint} in JSON", [])
    assert known == {*API["arguments"][endpoint], *in_json} - {"images"}


def test_pictures_are_limited_without_a_word_in_the_headers(simulate):
    """By requests of each family; the only sign of the limit is the 429 with its `retry-after`."""
    simulator = simulate(rpm=1)
    body = {"prompt": PROMPT, "model": "dall-e-2", "size": "256x256"}
    first, second = (simulator.post("/v1/images/generations", body) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 429)
    assert second.headers["retry-after"] == "60"
    assert not [name for name in (*first.headers, *second.headers) if name.startswith("x-ratelimit-")]
    assert generate(simulator, model="gpt-image-2").data


def test_pictures_are_counted(simulator):
    """Each of them, and the tokens that the usage states."""
    usage = generate(simulator, n=3).usage
    vary(simulator, size="256x256")
    counters = simulator.counters()
    assert counters["inputs"] == 4
    assert (counters["input_tokens"], counters["output_tokens"]) == (usage.input_tokens, usage.output_tokens)
    assert counters["by_endpoint"] == {"images/generations": 1, "images/variations": 1}
