"""What an index's asset page shows."""

import dagster as dg

from pxt_assets import OpenAIResource
from pxt_assets.functions import embeddings
from tests.index.shop import Shop, letters, texts, told
from tests.runs import ask


def test_figures(shop: Shop):
    """Rows, type, metric, recall, place, schema and lineage."""
    shop.rows[None] = texts({1: "aa", 2: "b", 3: None}, stars=[1, 2, 3])
    tbl = shop.table()
    tbl.add_embedding_index(tbl.body, embedding=letters)
    said = told(shop.run(tbl))
    expected = {
        "dagster/row_count": 2,
        "pxt/rows_indexed": 2,
        "pxt/rows_written": 2,
        "pxt/rows_unchanged": 0,
        "pxt/rows_removed": 0,
        "pxt/rows_null": 1,
        "pxt/rows_failed": 0,
        "pxt/rows_zero": 0,
        "pxt/simulated": False,
        "pxt/dimensions": 3,
        "pxt/metric": "cosine",
        "pxt/index_type": "exact",
        "pxt/recall_at_10": 1.0,
    }
    assert expected.items() <= said.items()
    assert said["dagster/uri"].startswith(f"{shop.indexes.base_path}/tickets/body_idx-")
    assert [c.name for c in said["dagster/column_schema"].columns][:3] == ["id", "body", "stars"]
    assert {c.name: c.description for c in said["dagster/column_schema"].columns} == {
        "id": "identifies the row",
        "body": "kept of `tickets.body`, for filters and results",
        "stars": "kept of `tickets.stars`, for filters and results",
        "_partition": "the partition that the row is from",
        "_row": "names the row: a digest of its key",
        "_digest": "changes with what the index holds of the row",
        "_vector": "the vector of `tickets.body`, from `tickets.body_idx_vectors`; its nearest rows are found",
    }
    sources = said["dagster/column_lineage"].deps_by_column
    assert sources["body"] == [dg.TableColumnDep(dg.AssetKey("tickets"), "body")]
    assert sources["_vector"] == [
        dg.TableColumnDep(dg.AssetKey(["tickets", "body_idx_vectors"]), "body_idx_vectors")
    ]


def test_example_searches(shop: Shop):
    """A few rows, each with those that are nearest to it beside itself."""
    tbl, _ = shop.index({1: "aaa", 2: "bbb", 3: "aab"})
    preview = told(shop.run(tbl))["pxt/preview"]
    lines = preview.splitlines()
    assert lines[0] == "| looked for | nearest | score |"
    assert any(
        "**id=1** aaa" in line.split("|")[1] and "**id=3** aab" in line.split("|")[2] for line in lines
    )
    assert not any(line.split("|")[1] == line.split("|")[2] for line in lines[2:])


def test_an_index_of_simulated_vectors_is_marked(shop: Shop, simulated: OpenAIResource):
    """In its metadata, and above its example searches."""
    shop.rows[None] = texts({1: "aa", 2: "b"})
    tbl = shop.table()
    tbl.add_embedding_index(tbl.body, embedding=embeddings.using(model="text-embedding-3-small"))
    shop.openai = simulated
    said = told(shop.run(tbl))
    assert said["pxt/simulated"] is True
    first, _, heading = said["pxt/preview"].splitlines()[:3]
    assert first.startswith("*Simulated vectors")
    assert heading == "| looked for | nearest | score |"


def test_vectors_of_ones_own_that_are_made_of_simulated_texts_are_marked(
    shop: Shop, simulated: OpenAIResource
):
    """What is near to what says as little of them."""
    shop.rows[None] = texts({1: "aa", 2: "b"})
    tbl = shop.table()
    tbl.add_computed_column(c=ask(tbl.body))
    tbl.add_computed_column(d=tbl.c.choices[0].message.content)
    tbl.add_embedding_index(tbl.d, embedding=letters)
    shop.openai = simulated
    assert told(shop.run(tbl), asset="tickets/d_idx")["pxt/simulated"] is True


def test_texts_are_no_markup(shop: Shop):
    """Whatever a text holds, it is shown as it is."""
    tbl, _ = shop.index({1: "a | <b>b</b> [c](http://x) ![](y) `", 2: "ab\n| c |"})
    preview = told(shop.run(tbl))["pxt/preview"]
    assert all(line.count("|") == 4 for line in preview.splitlines())
    assert "<b>" not in preview
    assert "](" not in preview
    assert "`" not in preview


def test_an_empty_index(shop: Shop):
    """It says so."""
    tbl, _ = shop.index({})
    assert told(shop.run(tbl))["pxt/preview"] == "*no rows*"
