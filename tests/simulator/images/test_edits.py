"""Pictures edited and varied, as OpenAI's own client meets them."""

import base64
import io
import warnings

import pytest
from PIL import Image

from tests.simulator.images.drawn import (
    PROMPT,
    ask,
    conforms,
    difference,
    edit,
    mask,
    pictures,
    pixels,
    png,
    vary,
)


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
