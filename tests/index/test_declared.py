"""What can be declared of an index, and what is refused while definitions load."""

import dagster as dg
import numpy as np
import pytest

from pxt_assets import ColumnStore, EmbeddingIndex, EmbeddingIndexes, OpenAIResource, Table, udf
from pxt_assets.errors import DefinitionError
from pxt_assets.functions import chat_completions, embeddings
from pxt_assets.values.types import Array, Image, Int, String
from tests.index.shop import letters

EMBED = embeddings.using(model="text-embedding-3-small")


@udf
def of_image(image: bytes) -> Array[(3,), np.float32]:
    return np.array([len(image), 1, 1], np.float32)


@udf
def of_anything(value) -> np.ndarray:
    return np.ones(3, np.float32)


@pytest.fixture
def tbl() -> Table:
    return Table("tickets", key="id", schema={"body": String, "image": Image, "stars": Int})


def keys(tbl: Table) -> list[str]:
    return [asset.key.to_user_string() for asset in tbl.assets]


def test_an_index_is_an_asset_beside_its_vectors(tbl: Table):
    """The vectors are a computed column; the index depends on it, and on the table that it keeps columns of."""
    index = tbl.add_embedding_index(tbl.body, embedding=EMBED)
    assert isinstance(index, dg.AssetsDefinition)
    assert isinstance(index, EmbeddingIndex)
    assert keys(tbl) == ["tickets/body_idx_vectors", "tickets/body_idx"]
    (spec,) = index.specs
    assert {dep.asset_key.to_user_string() for dep in spec.deps} == {"tickets", "tickets/body_idx_vectors"}
    assert "lancedb" in spec.kinds
    assert spec.tags["pxt/metric"] == "cosine"
    assert "tickets.body" in (spec.description or "")
    dg.Definitions.validate_loadable(
        dg.Definitions(
            assets=[dg.AssetSpec("tickets").with_io_manager_key("columns"), *tbl.assets],
            resources={
                "openai": OpenAIResource(api_key="k"),
                "columns": ColumnStore(base_path="x"),
                "indexes": EmbeddingIndexes(base_path="x"),
            },
        )
    )


def test_a_column_by_its_name(tbl: Table):
    """As text, like a reference."""
    assert tbl.add_embedding_index("body", embedding=EMBED).key.path[-1] == "body_idx"


def test_options_of_the_asset(tbl: Table):
    """They hold for the index and its vectors."""
    index = tbl.add_embedding_index(
        tbl.body,
        embedding=EMBED,
        idx_name="near",
        group_name="search",
        owners=["team:a"],
        tags={"x": "y"},
        description="Mine.",
        pool="gpu",
    )
    for asset in tbl.assets:
        (spec,) = asset.specs
        assert (spec.group_name, list(spec.owners), spec.tags["x"]) == ("search", ["team:a"], "y")
        assert asset.op.pool == "gpu"
    assert index.specs_by_key[index.key].description.startswith("Mine.")
    assert keys(tbl) == ["tickets/near_vectors", "tickets/near"]


class TestWithoutAColumn:
    """The table's only text column is meant."""

    def test_the_documented_example(self):
        """As Pixeltable's documentation has it, after the one before it."""
        tbl = Table("docs")
        tbl.add_computed_column(embed=embeddings(tbl.text, model="text-embedding-3-small"))
        tbl.add_embedding_index(embedding=embeddings.using(model="text-embedding-3-small"))
        assert keys(tbl) == ["docs/embed", "docs/text_idx"]

    def test_a_declared_one(self, tbl: Table):
        """By its type in `schema`; numbers and images are none, nor are keys."""
        assert tbl.add_embedding_index(embedding=EMBED).key.path[-1] == "body_idx"
        keyed = Table("t", key="id", schema={"id": String, "text": String})
        assert keyed.add_embedding_index(embedding=EMBED).key.path[-1] == "text_idx"

    def test_one_of_the_upstreams_column_schema(self):
        """By what the upstream asset says of its columns."""
        columns = dg.TableSchema([dg.TableColumn("id", "int64"), dg.TableColumn("body", "string")])
        tbl = Table(dg.AssetSpec("up", metadata={"dagster/column_schema": columns}), key="id")
        assert tbl.add_embedding_index(embedding=EMBED).key.path[-1] == "body_idx"

    @pytest.mark.parametrize(
        ("tbl", "says"),
        [
            (Table("t", schema={"a": String, "b": String}), "2 columns that may be the text to index: a, b"),
            (Table("t"), "which of its columns is text is not known"),
            (
                Table(
                    dg.AssetSpec(
                        "up",
                        metadata={"dagster/column_schema": dg.TableSchema([dg.TableColumn("n", "int64")])},
                    )
                ),
                "not known to have a text column; it has n",
            ),
        ],
    )
    def test_none_or_several(self, tbl: Table, says: str):
        """The candidates are listed."""
        with pytest.raises(DefinitionError, match=says):
            tbl.add_embedding_index(embedding=EMBED)


def test_a_column_of_the_same_call_is_taken(tbl: Table):
    """What the table has computed already is not computed, and paid for, again."""
    tbl.add_computed_column(embed=embeddings(tbl.body, model="text-embedding-3-small"))
    index = tbl.add_embedding_index(tbl.body, embedding=EMBED)
    assert keys(tbl) == ["tickets/embed", "tickets/body_idx"]
    assert index.index_spec.vectors._column == "embed"


def test_a_column_of_vectors_is_searched_by_what_made_it(tbl: Table):
    """Queries of its index are embedded by the function that made its vectors."""
    tbl.add_computed_column(embed=embeddings(tbl.body, model="m", dimensions=256))
    index = tbl.add_embedding_index(tbl.embed)
    other = Table("others", schema={"body": String}).add_embedding_index(
        embedding=embeddings.using(model="m", dimensions=256)
    )
    assert index.index_spec.embedders.text.space == index.index_spec.space == other.index_spec.space


def test_a_column_of_vectors_with_another_function(tbl: Table):
    """Scores between vectors of two models would mean nothing."""
    tbl.add_computed_column(embed=embeddings(tbl.body, model="one"))
    with pytest.raises(DefinitionError, match="scores would mean nothing"):
        tbl.add_embedding_index(tbl.embed, embedding=embeddings.using(model="two"))
    with pytest.raises(DefinitionError, match="scores would mean nothing"):
        tbl.add_embedding_index(tbl.embed, string_embed=letters)


class TestIfExists:
    """An index of the same name is an error, is left, or is replaced."""

    def test_error(self, tbl: Table):
        tbl.add_embedding_index(tbl.body, embedding=EMBED)
        with pytest.raises(DefinitionError, match="there is an index of that name already"):
            tbl.add_embedding_index(tbl.body, embedding=EMBED)

    def test_ignore(self, tbl: Table):
        first = tbl.add_embedding_index(tbl.body, embedding=EMBED)
        assert tbl.add_embedding_index(tbl.body, embedding=letters, if_exists="ignore") is first

    @pytest.mark.parametrize("how", ["replace", "replace_force"])
    def test_replace(self, tbl: Table, how):
        tbl.add_embedding_index(tbl.body, embedding=EMBED)
        second = tbl.add_embedding_index(tbl.body, embedding=EMBED, metric="l2", if_exists=how)
        assert [asset for asset in tbl.assets if asset.key == second.key] == [second]

    def test_replace_by_another_function(self, tbl: Table):
        """The vectors of the one before go with it."""
        tbl.add_embedding_index(tbl.body, embedding=EMBED)
        tbl.add_embedding_index(tbl.body, embedding=letters, if_exists="replace")
        assert sorted(keys(tbl)) == ["tickets/body_idx", "tickets/body_idx_vectors"]
        (vectors,) = (asset for asset in tbl.assets if asset.key.path[-1] == "body_idx_vectors")
        assert "letters" in next(iter(vectors.specs)).description

    def test_what_is_none(self, tbl: Table):
        with pytest.raises(DefinitionError, match="got if_exists='maybe', allowed: 'error', 'ignore'"):
            tbl.add_embedding_index(tbl.body, embedding=EMBED, if_exists="maybe")


class TestRefusals:
    """Each says what was got, what is allowed, and what to do."""

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"metric": "cosinus"}, "got metric='cosinus', allowed: 'cosine', 'ip'"),
            ({"embedding": len}, "got embedding=<built-in function len>"),
            ({"embedding": chat_completions.using(model="m")}, "chat_completions returns Json, no vector"),
            ({"embedding": embeddings}, "embeddings takes input, model; it must have one argument left"),
            ({"embedding": None}, "for which no function was given; give embedding= or string_embed="),
            ({"string_embed": of_image}, "string_embed: of_image takes no text"),
            (
                {"string_embed": letters},
                "embedding=embeddings.* and string_embed=letters.*, which are both for text",
            ),
            ({"embedding": of_image}, "for which no function was given"),
            ({"idx_name": "a b"}, "'a b' is no column name"),
            ({"idx_name": "_x"}, "reserved name"),
            ({"idx_name": "body"}, "'body' is a column of the upstream asset"),
            ({"idx_name": "similarity_of_errormsg"}, "reserved name"),
        ],
    )
    def test_options(self, tbl: Table, options, says: str):
        with pytest.raises(DefinitionError, match=says):
            tbl.add_embedding_index(tbl.body, **{"embedding": EMBED, **options})

    def test_columns_of_other_types(self, tbl: Table):
        with pytest.raises(DefinitionError, match=r"tickets.stars, which is Int"):
            tbl.add_embedding_index(tbl.stars, embedding=EMBED)
        with pytest.raises(DefinitionError, match="add a path as a computed column first"):
            tbl.add_embedding_index(tbl.other.text, embedding=EMBED)
        with pytest.raises(DefinitionError, match="a column of another table"):
            tbl.add_embedding_index(Table("x").body, embedding=EMBED)

    def test_an_image_column_without_a_function_for_images(self, tbl: Table):
        with pytest.raises(DefinitionError, match="holds images, for which no function was given"):
            tbl.add_embedding_index(tbl.image, embedding=EMBED)

    def test_key_columns_of_a_name_that_results_have(self):
        tbl = Table("t", key="score", schema={"body": String})
        with pytest.raises(DefinitionError, match="the key column 'score' has a name"):
            tbl.add_embedding_index(embedding=EMBED)

    def test_an_index_name_is_no_column(self, tbl: Table):
        """It cannot be that of a column that is added later either."""
        tbl.add_embedding_index(tbl.body, embedding=EMBED)
        with pytest.raises(DefinitionError, match="'body_idx' is an embedding index added before"):
            tbl.add_computed_column(body_idx=letters(tbl.body))

    @pytest.mark.parametrize("path", ["", " ", "memory://x", "db://x"])
    def test_a_place_that_keeps_nothing(self, path: str):
        with pytest.raises(ValueError, match="allowed: a folder, or a URL"):
            EmbeddingIndexes(base_path=path)


def test_multimodal_functions_serve_both(tbl: Table):
    """A function whose hint says neither text nor image embeds both."""
    by_text = tbl.add_embedding_index(tbl.body, embedding=of_anything).index_spec.embedders
    assert by_text.text == by_text.image is not None
    both = tbl.add_embedding_index(tbl.image, image_embed=of_image, string_embed=letters).index_spec.embedders
    assert (both.text.function.name, both.image.function.name) == ("letters", "of_image")


def test_identities():
    """What names a generation changes with the function, its arguments, the metric and the key, with nothing else."""

    def identity(key="id", column="body", **options) -> str:
        tbl = Table("tickets", key=key, schema={"body": String, "title": String})
        given = {"embedding": EMBED, **options}
        return tbl.add_embedding_index(tbl[column], **given).index_spec.identity

    same = identity()
    assert same == identity(column="title", owners=["team:a"], idx_name="x") == identity(columns=["title"])
    others = {
        identity(key="no"),
        identity(metric="ip"),
        identity(embedding=letters),
        identity(embedding=embeddings.using(model="text-embedding-3-large")),
        identity(embedding=embeddings.using(model="text-embedding-3-small", dimensions=256)),
    }
    assert len(others | {same}) == 6


def test_code_versions_tell_what_is_kept(tbl: Table):
    """The index is stale when other columns are to be kept."""
    first = tbl.add_embedding_index(tbl.body, embedding=EMBED, columns=["stars"])
    second = tbl.add_embedding_index(tbl.body, embedding=EMBED, columns=[], if_exists="replace")
    assert next(iter(first.specs)).code_version != next(iter(second.specs)).code_version
    assert {d.asset_key.to_user_string() for d in next(iter(second.specs)).deps} == {
        "tickets/body_idx_vectors"
    }


def test_a_schedule_materializes_indexes_too(tbl: Table):
    """Like all that the table has."""
    tbl.add_embedding_index(tbl.body, embedding=EMBED)
    job = tbl.schedule("0 6 * * *").job
    assert {key.to_user_string() for key in job.selection.resolve(tbl.assets)} == {
        "tickets/body_idx",
        "tickets/body_idx_vectors",
    }
