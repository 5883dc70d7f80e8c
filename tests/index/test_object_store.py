"""An index on an object store: LanceDB writes it there itself."""

import pytest

from pxt_assets import EmbeddingIndexes
from pxt_assets.errors import SearchError
from tests.index.shop import Shop, letters, texts, told
from tests.runs import failure
from tests.s3_server import s3_server

SECRET = "an-open-secret"


@pytest.fixture(scope="module")
def s3():
    with s3_server(secret=SECRET) as options:
        yield {
            "aws_access_key_id": options["key"],
            "aws_secret_access_key": options["secret"],
            "aws_endpoint": options["client_kwargs"]["endpoint_url"],
            "aws_region": "us-east-1",
            "allow_http": "true",
        }


def test_written_searched_and_brought_up_to_date(shop: Shop, s3):
    """As in a folder."""
    shop.indexes = EmbeddingIndexes(base_path="s3://bucket/indexes", storage_options=s3)
    shop.rows[None] = texts({1: "a", 2: "b"})
    tbl = shop.table()
    tbl.add_embedding_index(tbl.body, embedding=letters)
    said = told(shop.run(tbl))
    assert said["dagster/uri"].startswith("s3://bucket/indexes/tickets/body_idx-")
    shop.rows[None] = texts({2: "b", 3: "c"})
    assert told(shop.run(tbl))["pxt/rows_removed"] == 1
    fresh = EmbeddingIndexes(base_path="s3://bucket/indexes", storage_options=s3)
    assert tbl.body.similarity("c", indexes=fresh)["id"].to_pylist() == [3, 2]


def test_secrets_are_not_told(shop: Shop, s3):
    """Not by the resource, and not where the store cannot be reached."""
    nowhere = {**s3, "aws_endpoint": "http://127.0.0.1:9", "aws_secret_access_key": SECRET}
    shop.indexes = EmbeddingIndexes(
        base_path="s3://bucket/x", storage_options={**nowhere, "client_max_retries": "0"}
    )
    assert SECRET not in repr(shop.indexes)
    shop.rows[None] = texts({1: "a"})
    tbl = shop.table()
    tbl.add_embedding_index(tbl.body, embedding=letters)
    with pytest.raises(Exception) as caught:  # noqa: PT011
        tbl.body.similarity("a", indexes=shop.indexes)
    assert isinstance(caught.value, SearchError)
    assert SECRET not in str(caught.value)
    result = shop.run(tbl, fails=True)
    assert SECRET not in failure(result).description
