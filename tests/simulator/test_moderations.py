import pytest

LARGE = "omni-moderation-latest"
SMALL = "text-moderation-latest"


def results(response):
    assert response.status_code == 200, response.text
    return response.json()["results"]


def flags(result):
    return {category for category, flagged in result["categories"].items() if flagged}


def picture(url="https://example.com/a.png"):
    return {"type": "image_url", "image_url": {"url": url}}


@pytest.mark.parametrize(
    ("text", "flagged"),
    [
        ("The zip broke.", set()),
        ("You IDIOT, I will kill you.", {"harassment", "violence"}),
        ("They murdered him.", {"violence"}),
        ("Skills and rackets", set()),
        ("", set()),
    ],
)
def test_words_flag_their_category(simulator, text, flagged):
    """In any case of letters and any inflection, but not within another word."""
    [result] = results(simulator.moderate(text))
    assert flags(result) == flagged
    assert result["flagged"] is bool(flagged)


def test_scores_agree_with_flags(simulator):
    """Flagged categories score above a half, the others far below; none is the same for every text."""
    first, second = results(simulator.moderate(["I will kill you.", "I will kill you, idiot."]))
    for result in (first, second):
        for category, score in result["category_scores"].items():
            assert (score > 0.5) is result["categories"][category]
            assert 0 <= score <= 1
    assert first["category_scores"] != second["category_scores"]


def test_each_text_has_a_result(simulator):
    """In order, and equal for equal texts."""
    found = results(simulator.moderate(["murder", "flowers", "murder"]))
    assert [result["flagged"] for result in found] == [True, False, True]
    assert found[0] == found[2]


def test_parts_have_one_result_together(simulator):
    """It states for each category which kinds of input it was judged by."""
    [result] = results(simulator.moderate([{"type": "text", "text": "murder"}, picture()]))
    applied = result["category_applied_input_types"]
    assert applied["violence"] == ["text", "image"]
    assert applied["hate"] == ["text"]
    assert flags(result) == {"violence"}


def test_an_image_alone_is_judged_by_few_categories(simulator):
    """The others score zero."""
    [result] = results(simulator.moderate([picture()]))
    assert result["category_applied_input_types"]["sexual"] == ["image"]
    assert result["category_applied_input_types"]["hate"] == []
    assert result["category_scores"]["hate"] == 0


def test_the_older_models_know_fewer_categories(simulator):
    """11 of the 13, and nothing about kinds of input."""
    [old], [new] = (
        results(simulator.moderate("a", model=SMALL)),
        results(simulator.moderate("a", model=LARGE)),
    )
    assert new["categories"].keys() - old["categories"].keys() == {"illicit", "illicit/violent"}
    assert "category_applied_input_types" not in old


def test_the_older_models_take_no_images(simulator):
    """400, with the place of the image."""
    response = simulator.moderate([picture()], model=SMALL)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "input[0]"


def test_a_model_is_named_where_the_request_names_none(simulator):
    """The newest."""
    assert simulator.moderate("a").json()["model"] == LARGE
