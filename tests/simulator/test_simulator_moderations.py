import pytest

TEXT_ONLY = {
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "sexual/minors",
}


def results_of(response):
    assert response.status_code == 200, response.text
    return response.json()["results"]


def test_a_harmless_text_is_not_flagged(simulator):
    """All 13 categories are there, false and with scores near zero."""
    (result,) = results_of(simulator.moderate("Bees dance."))
    assert result["flagged"] is False
    assert len(result["categories"]) == len(result["category_scores"]) == 13
    assert max(result["category_scores"].values()) < 0.01


@pytest.mark.parametrize(
    ("text", "category"),
    [("You IDIOT!", "harassment"), ("They attacked him.", "violence"), ("How to steal a car", "illicit")],
)
def test_a_telling_word_flags_its_category(simulator, text, category):
    """And no other, with a score above one half."""
    (result,) = results_of(simulator.moderate(text))
    assert result["flagged"] is True
    assert [name for name, flagged in result["categories"].items() if flagged] == [category]
    assert result["category_scores"][category] > 0.5


def test_scores_depend_on_the_text_alone(simulator):
    """The same text has the same scores at any place, another text has others."""
    first, second, again = results_of(simulator.moderate(["Bees.", "Wasps.", "Bees."]))
    assert first == again
    assert first != second


def test_parts_make_one_result(simulator):
    """Text and image are judged together; each category names the kinds it was applied to."""
    parts = [
        {"type": "text", "text": "Bees."},
        {"type": "image_url", "image_url": {"url": "https://example.com/bee.png"}},
    ]
    (result,) = results_of(simulator.moderate(parts))
    applied = result["category_applied_input_types"]
    assert {name for name, kinds in applied.items() if kinds == ["text"]} == TEXT_ONLY
    assert all(kinds == ["text", "image"] for name, kinds in applied.items() if name not in TEXT_ONLY)


def test_the_older_models_have_their_own_categories(simulator):
    """11 of them, and no word about kinds of input."""
    (result,) = results_of(simulator.moderate("Bees.", model="text-moderation-latest"))
    assert len(result["categories"]) == 11
    assert "category_applied_input_types" not in result
