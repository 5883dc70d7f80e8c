import dagster as dg
import pytest

from pxt_assets import Table
from pxt_assets.functions import chat_completions, embeddings, moderations


@pytest.fixture
def tbl() -> Table:
    return Table("tbl")


def keys(tbl: Table) -> list[dg.AssetKey]:
    return [key for asset in tbl.assets for key in asset.keys]


def test_chat_completions(tbl):
    """Pixeltable's example of a chat runs as written."""
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": tbl.prompt},
    ]
    tbl.add_computed_column(response=chat_completions(messages, model="gpt-4o-mini"))
    assert keys(tbl) == [dg.AssetKey(["tbl", "response"])]


def test_chat_completions_with_images(tbl):
    """Pixeltable's example of a chat about an image runs as written."""
    messages = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What's in this image?"},
                {"type": "image_url", "image_url": tbl.image},
            ],
        }
    ]
    tbl.add_computed_column(response=chat_completions(messages, model="gpt-4o-mini"))
    assert keys(tbl) == [dg.AssetKey(["tbl", "response"])]


def test_embeddings(tbl):
    """Pixeltable's example of an embedding runs as written."""
    tbl.add_computed_column(embed=embeddings(tbl.text, model="text-embedding-3-small"))
    assert keys(tbl) == [dg.AssetKey(["tbl", "embed"])]


def test_moderations(tbl):
    """Pixeltable's example of a moderation runs as written, though the column has the function's name."""
    tbl.add_computed_column(moderations=moderations(tbl.input))
    assert keys(tbl) == [dg.AssetKey(["tbl", "moderations"])]
