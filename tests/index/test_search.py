"""Searching an index: by text, image or vector, one query or many, among all rows or some."""

import datetime
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest

from pxt_assets import EmbeddingIndexes, Table, udf
from pxt_assets.errors import SearchError
from pxt_assets.functions import embeddings
from pxt_assets.index.embedding_indexes import _last_used
from pxt_assets.values.types import Array, String
from tests.index.shop import Shop, letters, texts
from tests.runs import materialize
from tests.scripted_server import Asked, Reply, resource_of, vectors

BODIES = {1: "aaa", 2: "bbb", 3: "ccc", 4: "aab", 5: "abc"}


@pytest.fixture
def tbl(shop: Shop) -> Table:
    return shop.index(BODIES)[0]


def cosine(one: str, other: str) -> float:
    a, b = (np.array([text.count(letter) for letter in "abc"], float) for text in (one, other))
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_the_nearest_come_first(shop: Shop, tbl: Table):
    """Key and score, the nearest first; the score is the cosine."""
    found = tbl.body.similarity("aab", k=3, indexes=shop.indexes)
    assert found.column_names == ["id", "score"]
    assert found["id"].to_pylist() == [4, 1, 5]
    assert found["score"].to_pylist() == pytest.approx(
        [cosine("aab", BODIES[i]) for i in (4, 1, 5)], abs=1e-6
    )
    assert found.schema.field("score").type == pa.float64()


@pytest.mark.parametrize(
    ("metric", "score"),
    [
        ("cosine", lambda a, b: a @ b / np.linalg.norm(a) / np.linalg.norm(b)),
        ("ip", lambda a, b: a @ b),
        ("l2", lambda a, b: -np.linalg.norm(a - b)),
    ],
)
def test_scores_by_metric(shop: Shop, metric, score):
    """Pixeltable's sense: the higher, the nearer, of each metric."""
    tbl, _ = shop.index(BODIES, metric=metric)
    query = np.array([2.0, 1.0, 0.5])
    wanted = {i: score(query, np.array([body.count(c) for c in "abc"], float)) for i, body in BODIES.items()}
    found = tbl.body.similarity(query, indexes=shop.indexes).to_pylist()
    assert {row["id"]: row["score"] for row in found} == pytest.approx(wanted, abs=1e-5)
    assert [row["score"] for row in found] == sorted(wanted.values(), reverse=True) or np.allclose(
        [row["score"] for row in found], sorted(wanted.values(), reverse=True), atol=1e-5
    )


def test_asked_columns(shop: Shop):
    """Columns of the upstream come as they are typed there, the key among them once."""
    day = datetime.date(2027, 3, 1)
    shop.rows[None] = texts({1: "a"}, stars=[4], day=[day], vip=[True], price=[1.5])
    tbl = shop.table()
    tbl.add_embedding_index(tbl.body, embedding=letters)
    shop.run(tbl)
    found = tbl.body.similarity(
        "a", columns=["stars", "day", "vip", "price", "body", "id"], indexes=shop.indexes
    )
    assert found.to_pylist() == [
        {"id": 1, "score": 1.0, "stars": 4, "day": day, "vip": True, "price": 1.5, "body": "a"}
    ]


def test_a_batch_of_texts(shop: Shop, tbl: Table):
    """Each query's rows, in the order of the queries, however many they are."""
    queries = ["b", "c", "a"] * 50
    found = tbl.body.similarity(queries, k=2, indexes=shop.indexes)
    assert found.column_names == ["query", "id", "score"]
    assert found["query"].to_pylist() == [i for i in range(150) for _ in range(2)]
    best = [found["id"][i].as_py() for i in range(0, 300, 2)]
    assert best == [2, 3, 1] * 50


@pytest.mark.parametrize(
    "queries",
    [
        np.array([[1.0, 0, 0], [0, 0, 1.0]]),
        [[1.0, 0, 0], [0, 0, 1]],
        [np.array([1.0, 0, 0]), "c"],
        pa.array([[1.0, 0, 0], [0, 0, 1.0]]),
        pa.array(["a", "c"]),
        ("a", "ccc"),
    ],
)
def test_batches_of_any_kind(shop: Shop, tbl: Table, queries):
    """Vectors, texts, or both, in lists and arrays."""
    assert tbl.body.similarity(queries, k=1, indexes=shop.indexes)["id"].to_pylist() == [1, 3]


def test_an_empty_batch(shop: Shop, tbl: Table):
    """No query gives no row."""
    assert tbl.body.similarity([], indexes=shop.indexes).num_rows == 0


@pytest.mark.parametrize("query", [[1, 1, 0], (1.0, 1.0, 0.0), np.array([1, 1, 0]), np.float64([1, 1, 0])])
def test_a_vector(shop: Shop, tbl: Table, query):
    """A vector is compared as it is."""
    assert tbl.body.similarity(query, k=1, indexes=shop.indexes)["id"].to_pylist() == [4]


def test_filters(shop: Shop):
    """Only rows that the filter lets through are compared."""
    shop.rows[None] = texts({1: "a", 2: "aab", 3: "b"}, lang=["en", "de", "de"], stars=[1, 2, 3])
    tbl = shop.table()
    tbl.add_embedding_index(tbl.body, embedding=letters)
    shop.run(tbl)
    assert shop.found(tbl, "a", where="lang = 'de'") == [2, 3]
    assert shop.found(tbl, "a", where="lang = 'de' AND stars > 2 OR id = 1") == [1, 3]
    assert shop.found(tbl, "a", k=1, where="body LIKE '%b'") == [2]
    assert shop.found(tbl, "a", where="lang = 'fr'") == []
    assert shop.found(tbl, "a", where="lang <> 'a -- (b' AND id - 1 > 0") == [2, 3]


def test_partitions_to_search(shop: Shop):
    """All partitions, one, or some; each row says of which it is."""
    shop.rows = {"mon": texts({1: "a"}), "tue": texts({1: "ab"}), "wed": texts({1: "b"})}
    tbl = shop.table(by_day=True)
    tbl.add_embedding_index(tbl.body, embedding=letters)
    shop.run(tbl, days=["mon", "tue", "wed"])

    def days(**options):
        return tbl.body.similarity("a", indexes=shop.indexes, **options)["partition_key"].to_pylist()

    assert days() == ["mon", "tue", "wed"]
    assert days(partition_key="tue") == ["tue"]
    assert days(partition_key=["wed", "mon"]) == ["mon", "wed"]
    assert days(partition_key=["wed", "mon"], where="body = 'b'") == ["wed"]
    assert days(partition_key="o'clock; DROP TABLE x") == []


def test_more_than_there_are(shop: Shop, tbl: Table):
    """All rows, the nearest first."""
    for k in (len(BODIES), 1_000, 10**12):
        assert len(shop.found(tbl, "a", k=k)) == len(BODIES)


def test_from_an_asset_through_the_resource(shop: Shop, tbl: Table):
    """Any asset searches with the resource, by a column or by the index."""
    index = tbl.assets[-1]

    @dg.asset
    def near(indexes: EmbeddingIndexes) -> list:
        by_column = indexes.search(tbl.body, "b", k=1, columns=["body"])
        by_index = indexes.search(index, "b", k=1, columns=["body"])
        assert by_column.equals(by_index)
        return by_column.to_pylist()

    result = materialize([near], shop.store, resources={"indexes": shop.indexes})
    assert result.output_for_node("near") == [{"id": 2, "score": 1.0, "body": "bbb"}]


def test_without_a_resource_where_it_was_materialized(tbl: Table):
    """In the process that materialized the index, a search need not say where it is."""
    assert tbl.body.similarity("c", k=1)["id"].to_pylist() == [3]


def test_a_change_by_another_process_is_seen(shop: Shop, tbl: Table):
    """A resource that has searched before sees what was written since."""
    reader = EmbeddingIndexes(base_path=shop.indexes.base_path)
    assert tbl.body.similarity("c", k=1, indexes=reader)["id"].to_pylist() == [3]
    shop.rows[None] = texts({9: "c"})
    shop.run(tbl)
    assert tbl.body.similarity("c", k=5, indexes=reader)["id"].to_pylist() == [9]


def test_a_table_that_was_dropped_meanwhile(shop: Shop, tbl: Table):
    """A resource that has searched before finds the one that took its place, or says that there is none."""
    reader = EmbeddingIndexes(base_path=shop.indexes.base_path)
    assert tbl.body.similarity("c", k=1, indexes=reader)["id"].to_pylist() == [3]
    database = shop.database()
    database.drop_all_tables()
    with pytest.raises(SearchError, match="was never materialized"):
        tbl.body.similarity("c", indexes=reader)
    shop.rows[None] = texts({9: "c"})
    shop.run(tbl)
    assert tbl.body.similarity("c", k=5, indexes=reader)["id"].to_pylist() == [9]
    database.drop_all_tables()
    shop.rows[None] = texts({8: "c"})
    shop.run(tbl)
    assert tbl.body.similarity("c", k=5, indexes=reader)["id"].to_pylist() == [8]


def test_a_query_is_embedded_as_the_rows_are(shop: Shop, serve):
    """Of the same model and arguments, through the limiter: a 429 is no failure, and the query is sent again."""
    asked: list[Any] = []

    def script(request: Asked) -> Reply:
        asked.append({**request.body, "input": list(request.body["input"])})
        if len(asked) == 2:
            error = {"message": "slow", "type": "requests", "code": "rate_limit_exceeded"}
            return Reply({"error": error}, 429, {"retry-after-ms": "1"})
        return vectors(request)

    shop.openai = resource_of(serve(script))
    shop.indexes = EmbeddingIndexes(base_path=shop.indexes.base_path, openai=shop.openai)
    shop.rows[None] = texts({1: "a"})
    tbl = shop.table()
    tbl.add_embedding_index(tbl.body, embedding=embeddings.using(model="m", dimensions=3))
    shop.run(tbl)
    tbl.body.similarity(["a", "b", "a"], indexes=shop.indexes)
    of_rows, refused, of_queries = asked
    assert refused == of_queries
    assert of_queries.pop("input") == ["a", "b"]  # equal ones are asked for once
    assert of_rows.pop("input") == ["a"]
    assert of_queries == of_rows


class TestRefusals:
    """What cannot be searched for says why, and what can be done."""

    @pytest.mark.parametrize("k", [0, -1, 1.5, "3", True, None])
    def test_k(self, shop: Shop, tbl: Table, k):
        """At least one row must be asked for."""
        with pytest.raises(SearchError, match=r"tickets/body_idx: got k=.*, allowed: a number of rows >= 1"):
            tbl.body.similarity("a", k=k, indexes=shop.indexes)

    @pytest.mark.parametrize(
        ("query", "says"),
        [
            (3, "got int 3 as a query"),
            (None, "got NoneType None as a query"),
            ({"a": 1}, "as a query, allowed: a text, an image"),
            (["a", None], "query 1 is NoneType"),
            ([["a"]], "query 0 is list"),
            ([1.0, 2.0], "a query vector of 2 numbers, the index has vectors of 3"),
            (np.zeros((2, 5)), "a query vector of 5 numbers"),
            ([0.0, 0.0, 0.0], "zero in all its numbers"),
            ("xyz", "zero in all its numbers"),
            ([float("nan"), 0, 1], "NaN or an infinite number"),
        ],
    )
    def test_queries(self, shop: Shop, tbl: Table, query, says: str):
        """A query is a text, an image or a vector that can be compared."""
        with pytest.raises(SearchError, match=says):
            tbl.body.similarity(query, indexes=shop.indexes)

    @pytest.mark.parametrize(
        "where", ["nope = 1", "id >", "DROP TABLE x", "id = 1) OR (id = 2", "id = 1 -- x", "id /* x", ""]
    )
    def test_filters(self, shop: Shop, tbl: Table, where: str):
        """A filter that is none is quoted, with the columns there are."""
        for options in ({}, {"partition_key": ""}):
            with pytest.raises(SearchError, match=r"tickets/body_idx: (where=|got where=)"):
                tbl.body.similarity("a", where=where, indexes=shop.indexes, **options)

    def test_columns(self, shop: Shop, tbl: Table):
        """An unknown column is named, with those that there are."""
        with pytest.raises(
            SearchError, match=r"the column 'bodi' is not kept .* which has id, body; did you mean 'body'"
        ):
            tbl.body.similarity("a", columns=["bodi"], indexes=shop.indexes)
        with pytest.raises(SearchError, match="got columns='body'"):
            tbl.body.similarity("a", columns="body", indexes=shop.indexes)

    def test_before_the_first_materialization(self, shop: Shop):
        """The message says to materialize it."""
        tbl = shop.table()
        tbl.add_embedding_index(tbl.body, embedding=letters)
        with pytest.raises(
            SearchError, match=r"tickets/body_idx was never materialized in .*; materialize it first"
        ):
            tbl.body.similarity("a", indexes=shop.indexes)

    def test_where_it_is_kept_was_not_said(self, shop: Shop):
        """The message says how to."""
        tbl = shop.table(name="others")
        tbl.add_embedding_index(tbl.body, embedding=letters)
        _last_used.clear()
        with pytest.raises(SearchError, match="give indexes=EmbeddingIndexes"):
            tbl.body.similarity("a")

    def test_what_is_no_resource(self, tbl: Table, shop: Shop):
        """`indexes` must be what it says."""
        with pytest.raises(SearchError, match="got indexes=str"):
            tbl.body.similarity("a", indexes="indexes")
        with pytest.raises(SearchError, match="got str as an index"):
            shop.indexes.search("tickets", "a")

    def test_a_column_without_an_index(self, shop: Shop, tbl: Table):
        """The message names the columns that have one."""
        with pytest.raises(
            SearchError, match=r"tickets.lang has no embedding index \(columns that have one: body\)"
        ):
            tbl.lang.similarity("a", indexes=shop.indexes)

    def test_several_indexes_over_a_column(self, shop: Shop):
        """Which one is meant must be said."""
        tbl, _ = shop.index({1: "a"})
        tbl.add_embedding_index(tbl.body, embedding=letters, idx_name="other", metric="l2")
        shop.run(tbl)
        with pytest.raises(SearchError, match="has the indexes body_idx, other, got idx_name=None"):
            tbl.body.similarity("a", indexes=shop.indexes)
        assert shop.found(tbl, "a", idx_name="other") == [1]

    def test_another_function(self, shop: Shop):
        """An index made by another function is no measure of anything."""
        shop.index({1: "a"})

        @udf
        def other(text: str) -> Array[(3,), np.float32]:
            return np.array([1, 2, len(text)], np.float32)

        tbl = Table(shop.source, key="id", schema={"body": String})
        tbl.add_embedding_index(tbl.body, embedding=other)
        with pytest.raises(SearchError, match="made with another embedding function, metric or key"):
            tbl.body.similarity("a", indexes=shop.indexes)

    def test_a_text_for_the_api_without_one(self, shop: Shop, simulated):
        """The message says to give the resource an OpenAIResource."""
        shop.openai = simulated
        shop.rows[None] = texts({1: "a"})
        tbl = shop.table()
        tbl.add_embedding_index(tbl.body, embedding=embeddings.using(model="text-embedding-3-small"))
        shop.run(tbl)
        with pytest.raises(SearchError, match=r"openai=OpenAIResource\(\)"):
            tbl.body.similarity("a", indexes=shop.indexes)

    def test_a_simulators_vectors_and_the_apis(self, shop: Shop, simulated, serve):
        """They are kept apart, and not compared with each other."""
        shop.openai = simulated
        shop.rows[None] = texts({1: "a"})
        tbl = shop.table()
        tbl.add_embedding_index(tbl.body, embedding=embeddings.using(model="text-embedding-3-small"))
        shop.run(tbl)
        real = EmbeddingIndexes(base_path=shop.indexes.base_path, openai=resource_of(serve()))
        with pytest.raises(
            SearchError, match="holds vectors of a simulator, but the query would be embedded by the API"
        ):
            tbl.body.similarity("a", indexes=real)
        invented = EmbeddingIndexes(base_path=shop.indexes.base_path, openai=simulated)
        assert tbl.body.similarity("a", indexes=invented)["id"].to_pylist() == [1]
