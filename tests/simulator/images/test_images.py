"""Pictures generated from a prompt, as OpenAI's own client meets them: what is drawn, served, limited and counted."""

import io

import pytest
from PIL import Image

from pxt_assets.simulator.images.draw import draw_text
from pxt_assets.simulator.images.pictures import KNOWN_TO_EDITS, KNOWN_TO_GENERATIONS, KNOWN_TO_VARIATIONS
from tests.simulator.images.drawn import API, PROMPT, conforms, difference, generate, pictures, pixels, vary

HOUR = 3600


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
