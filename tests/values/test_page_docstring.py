"""Docstrings as Dagster's pages show them."""

import re

import pytest

from pxt_assets import ColumnStore, EmbeddingIndexes, OpenAIResource
from pxt_assets.values.page_docstring import page_docstring

DOCSTRING = """What it is.

    Example:
        ```python
        one(
            two=3,
        )

        four()
        ```

    The rest, which has `code` and
    goes on.
    """


def as_the_page_strips_it(text: str) -> str:
    """As Dagster's page of a resource does before it renders Markdown."""
    return re.sub("^    ", "", text, flags=re.MULTILINE)


def test_examples_are_code_without_fences() -> None:
    """Where four spaces are taken off each line, and where they are not."""
    shown = page_docstring(DOCSTRING)
    assert as_the_page_strips_it(shown).split("\n") == [
        "What it is.",
        "",
        "Example:",
        "",
        "    one(",
        "        two=3,",
        "    )",
        "",
        "    four()",
        "",
        "The rest, which has `code` and",
        "goes on.",
    ]


def test_a_docstring_without_examples_is_only_dedented() -> None:
    """Also one line."""
    assert page_docstring("One line.") == "One line."
    assert page_docstring("One.\n\n    Two.\n    ") == "One.\n\nTwo."


@pytest.mark.parametrize("resource", [OpenAIResource, ColumnStore, EmbeddingIndexes])
def test_the_lists_of_resources_show_no_fence(resource: type) -> None:
    """They show a description as it is; its first line is a sentence."""
    shown = str(resource.__doc__)
    assert "```" not in shown
    assert shown.splitlines()[0].endswith(".")
    assert "\n        " in shown  # its example, as code


def test_a_resource_of_ones_own_is_described_by_itself() -> None:
    """A subclass has its own docstring, or none, as those of other resources."""

    class Ours(OpenAIResource):
        """Ours.

        ```python
        Ours()
        ```
        """

    assert Ours(api_key="k").get_resource_definition().description == "Ours.\n\n        Ours()"


def test_budget_means_dollars() -> None:
    """The ledger keeps rate limits; its description says so without that word."""
    said = str(OpenAIResource.model_fields["ledger"].description)
    assert said.startswith("Where processes that share a key keep what is left of its rate limits: ")
    assert "budget" not in said
