"""`embedding_lookup`: for each row of one table the nearest rows of another's index, as a computed column."""

import json
from collections.abc import Sequence
from urllib.parse import unquote

import dagster as dg
import numpy as np
import pytest

from pxt_assets import OpenAIResource, Table, udf
from pxt_assets.errors import DefinitionError
from pxt_assets.functions import chat_completions, embeddings
from pxt_assets.values.types import String
from tests.index.shop import Shop, letters, texts
from tests.runs import failure, materialize, metadata, rows_asset, values


class Answers:
    """Questions that are looked up in an index over past tickets."""

    def __init__(self, shop: Shop, questions: Sequence[str | None], **options) -> None:
        self.shop = shop
        self.past, self.index = shop.index({1: "aaa", 2: "bbb", 3: "abc"})
        self.source = rows_asset({"no": range(len(questions)), "question": questions}, name="asked")
        self.asked = Table(self.source, key="no", schema={"question": String})
        self.asked.add_computed_column(context=self.index.search(self.asked.question, **options))

    def run(self, **options):
        shop = self.shop
        assets = [self.source, *self.asked.assets, shop.source, *self.past.assets]
        return materialize(assets, shop.store, shop.openai, resources={"indexes": shop.indexes}, **options)

    def context(self) -> list:
        return [None if c is None else json.loads(c) for c in values(self.shop.store, "asked/context")]


def test_the_nearest_of_each_row(shop: Shop):
    """A list for each row: key, score, and the column that is searched."""
    answers = Answers(shop, ["a", "bb"], k=2)
    answers.run()
    first, second = answers.context()
    assert [row["id"] for row in first] == [1, 3]
    assert [row["id"] for row in second] == [2, 3]
    assert first[0] == {"id": 1, "score": 1.0, "body": "aaa"}


def test_its_page_tells_what_was_asked(shop: Shop):
    """The columns that are looked up and searched, by name; the vectors added for them are not what the user wrote."""
    answers = Answers(shop, ["a", "bb"], k=2)
    column = metadata(answers.run(), "asked/context")["dagster/column_schema"].columns[1]
    assert column.tags["from"] == "asked.question, tickets.body"
    assert column.description == "The 2 `tickets.body` nearest to each `asked.question`"


def test_a_null_is_null(shop: Shop):
    """A row without a question has no context, and is not looked up."""
    answers = Answers(shop, ["a", None], k=1)
    answers.run()
    assert answers.context()[1] is None


def test_columns_and_filters(shop: Shop):
    """As for a search."""
    answers = Answers(shop, ["a"], k=5, where="id > 1", columns=[])
    answers.run()
    assert [row.keys() for row in answers.context()[0]] == [{"id", "score"}] * 2
    assert [row["id"] for row in answers.context()[0]] == [3, 2]


def test_unchanged_rows_are_not_looked_up_again(shop: Shop):
    """Neither the vectors nor the lookups are computed anew."""
    answers = Answers(shop, ["a", "b"], k=1)
    answers.run()
    result = answers.run()
    assert metadata(result, "asked/context")["pxt/rows_computed"] == 0
    assert metadata(result, "asked/question_body_idx_vectors")["pxt/rows_computed"] == 0


def test_a_changed_index_is_looked_up_anew(shop: Shop):
    """When the index holds other rows, so do the lookups; the vectors of the questions are those of before."""
    answers = Answers(shop, ["a", "b"], k=1)
    answers.run()
    shop.rows[None] = texts({1: "aaa", 9: "b"})
    result = answers.run()
    assert [row[0]["id"] for row in answers.context()] == [1, 9]
    assert metadata(result, "asked/question_body_idx_vectors")["pxt/rows_computed"] == 0


def test_a_changed_index_is_seen_though_the_first_rows_ask_nothing(shop: Shop):
    """What the index holds is part of what the column is made from."""
    answers = Answers(shop, [None] * 100 + ["b"], k=1)
    answers.run()
    assert metadata(answers.run(), "asked/context")["pxt/rows_computed"] == 0
    shop.rows[None] = texts({1: "aaa", 9: "b"})
    answers.run()
    assert answers.context()[-1][0]["id"] == 9


def test_an_empty_index(shop: Shop):
    """Nothing is near: an empty list."""
    answers = Answers(shop, ["a"], k=3)
    shop.rows[None] = texts({})
    answers.run()
    assert answers.context() == [[]]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"where": "nope = 1"}, "where='nope = 1' cannot be applied"),
        ({"columns": ["nope"]}, "the column 'nope' is not kept by the index"),
    ],
)
def test_what_would_fail_every_row_fails_the_run(shop: Shop, options, says: str):
    """A filter or a column that the index does not have is no row's error."""
    answers = Answers(shop, ["a"], **options)
    assert says in failure(answers.run(fails=True)).description


def test_before_the_index_was_materialized(shop: Shop):
    """The message says to materialize it."""
    shop.rows[None] = texts({1: "a"})
    past = shop.table()
    index = past.add_embedding_index(past.body, embedding=letters)
    source = rows_asset({"question": ["a"]}, name="asked")
    asked = Table(source, schema={"question": String})
    asked.add_computed_column(context=index.search(asked.question))
    resources = {"indexes": shop.indexes}
    result = materialize([source, *asked.assets], shop.store, resources=resources, fails=True)
    assert "tickets/body_idx was never materialized" in failure(result).description


def test_zero_vectors_are_those_rows_errors(shop: Shop):
    """A question that no angle can be told to fails alone."""
    answers = Answers(shop, ["a", "xyz"], k=1)
    said = failure(answers.run(fails=True))
    assert "no=1" in said.description
    assert "zero in all its numbers" in said.description
    assert "1 of 2 rows failed" in said.description


def test_partitions_of_both(tmp_path):
    """Each partition looks into all partitions of the index, which it depends on."""
    shop = Shop(tmp_path)
    shop.rows = {"mon": texts({1: "aa"}), "tue": texts({1: "bb"}), "wed": texts({1: "cc"})}
    tbl = shop.table(by_day=True)
    index = tbl.add_embedding_index(tbl.body, embedding=letters)
    tbl.add_computed_column(near=index.search(tbl.body, k=3))
    shop.run(tbl, days=["mon", "tue", "wed"])
    found = json.loads(values(shop.store, "tickets/near", "tue")[0])
    assert found[0] == {"partition_key": "tue", "id": 1, "score": 1.0, "body": "bb"}
    assert {row["partition_key"] for row in found} == {"mon", "tue", "wed"}
    (spec,) = next(a for a in tbl.assets if a.key.path[-1] == "near").specs
    (mapping,) = (d.partition_mapping for d in spec.deps if d.asset_key == index.key)
    assert isinstance(mapping, dg.AllPartitionMapping)


def test_retrieval_augmented_chat_is_three_columns(shop: Shop, simulated: OpenAIResource):
    """Context, response, answer: over embeddings and chats of the API."""
    shop.openai = simulated
    shop.rows[None] = texts(
        {1: "my parcel is late", 2: "a refund, please"}, reply=["It is on its way.", "Done."]
    )
    past = shop.table()
    index = past.add_embedding_index(past.body, embedding=embeddings.using(model="text-embedding-3-small"))
    source = rows_asset({"question": ["where is my parcel?"]}, name="asked")
    tbl = Table(source, schema={"question": String})

    @udf
    def prompt(context: list, question: str) -> str:
        known = "\n".join(f"- {row['body']} -> {row['reply']}" for row in context)
        return f"Similar tickets and their replies:\n{known}\n\nTicket: {question}"

    tbl.add_computed_column(context=index.search(tbl.question, k=2, columns=["body", "reply"]))
    messages = [{"role": "user", "content": prompt(tbl.context, tbl.question)}]
    tbl.add_computed_column(response=chat_completions(messages, model="gpt-4o-mini"))
    tbl.add_computed_column(answer=tbl.response.choices[0].message.content)
    assets = [source, *tbl.assets, shop.source, *past.assets]
    materialize(assets, shop.store, simulated, resources={"indexes": shop.indexes})
    context = json.loads(values(shop.store, "asked/context")[0])
    assert context[0]["reply"] == "It is on its way."
    assert values(shop.store, "asked/answer")[0]


def test_a_column_of_the_same_vectors_is_taken(shop: Shop):
    """Questions whose vectors the table has computed already are not embedded again."""
    _, index = shop.index({1: "a"})
    asked = Table("asked", schema={"question": String})
    asked.add_computed_column(embed=letters(asked.question))
    asked.add_computed_column(context=index.search(asked.question))
    asked.add_computed_column(other=index.search(asked.embed, k=1))
    assert [a.key.path[-1] for a in asked.assets] == ["embed", "context", "other"]


def test_what_cannot_be_looked_up(shop: Shop):
    """Refused while definitions load."""
    tbl, index = shop.index({1: "a"})
    with pytest.raises(DefinitionError, match=r"for a search right now there is tbl.column.similarity"):
        index.search("a text")
    with pytest.raises(DefinitionError, match="got k=0"):
        index.search(tbl.body, k=0)
    by_vector = Table(rows_asset({"v": [[1.0]]}, name="points")).add_embedding_index("v")
    with pytest.raises(
        DefinitionError, match=r"has no function that embeds tickets.body; give .* a string_embed="
    ):
        by_vector.search(tbl.body)


def test_lineage_and_code_version(shop: Shop):
    """The column depends on the index, and is another when something else is asked for."""
    _, index = shop.index({1: "a"})
    versions = set()
    for k in (1, 2):
        asked = Table("asked", schema={"question": String})
        (spec,) = asked.add_computed_column(context=index.search(asked.question, k=k)).specs
        versions.add(spec.code_version)
        assert index.key in {dep.asset_key for dep in spec.deps}
        assert "embedding_lookup" in spec.description
    assert len(versions) == 2


def test_lineage_of_the_cells(shop: Shop):
    """The column comes from the question, and from the column that the index is over; the picture shows the index."""
    answers = Answers(shop, ["a"], k=1)
    said = metadata(answers.run(), "asked/context")
    assert said["dagster/column_lineage"].deps_by_column["context"] == [
        dg.TableColumnDep(dg.AssetKey(["asked", "question_body_idx_vectors"]), "question_body_idx_vectors"),
        dg.TableColumnDep(dg.AssetKey(["tickets", "body_idx"]), "body"),
    ]
    picture = unquote(said["pxt/made_of"])
    assert "tickets.body_idx" in picture
    assert "tickets.body<" in picture


def test_a_run_looks_into_the_index_as_it_was_when_it_began(shop: Shop):
    """What is written meanwhile is not mixed with it."""
    past, index = shop.index({1: "a"})
    bound = index.search(past.body, k=9)._function.bind_to(shop.indexes)
    shop.rows[None] = texts({1: "a", 2: "aa"})
    shop.run(past)
    assert shop.found(past, "a") == [1, 2]
    assert [row["id"] for row in bound._look_up([np.float32([1, 0, 0]).tobytes()])[0]] == [1]


def test_a_dry_run_says_what_is_to_be_looked_up(shop: Shop):
    """It counts the rows, and looks nothing up."""
    answers = Answers(shop, ["a", "b"], k=1)
    answers.run(only=["asked", "asked/question_body_idx_vectors"])
    with dg.DagsterInstance.ephemeral() as instance:
        answers.run(only=["asked/context"], config={"asked/context": {"dry_run": True}}, instance=instance)
    assert not shop.store.file(dg.AssetKey(["asked", "context"])).exists()
