"""`if_exists`: what becomes of a column of a name that there is already, so that cells of notebooks can be run again."""

from typing import Any

import dagster as dg
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table, udf
from pxt_assets.errors import DefinitionError
from pxt_assets.functions import moderations
from tests.assets.declared_tickets import spec
from tests.index.shop import letters
from tests.runs import ask, materialize, rows_asset, values


@udf
def upper(text: str) -> str:
    return text.upper()


@udf
def lower(text: str) -> str:
    return text.lower()


@udf
def length(text: str) -> int:
    return len(text)


def test_by_default_it_is_an_error(tbl: Table) -> None:
    """The message says what else there is."""
    tbl.add_computed_column(c=upper(tbl.body))
    with pytest.raises(
        DefinitionError, match=r"'c' is a computed column added before; .* if_exists='replace'"
    ):
        tbl.add_computed_column(c=upper(tbl.body))


def test_ignored_it_is_the_column_that_there_is(tbl: Table) -> None:
    """Whatever the expression is now."""
    first = tbl.add_computed_column(c=upper(tbl.body))
    assert tbl.add_computed_column(c=lower(tbl.body), if_exists="ignore") is first
    assert tbl.assets == [first]


@pytest.mark.parametrize("if_exists", ["ignore", "replace", "replace_force"])
def test_a_new_column_is_added(tbl: Table, if_exists: Any) -> None:
    """The first time that a cell is run."""
    assert upper.asset(name="c", table=tbl, text=tbl.body, if_exists=if_exists) in tbl.assets


@pytest.mark.parametrize("if_exists", ["replace", "replace_force"])
def test_replaced_it_is_the_new_column(tbl: Table, if_exists: Any) -> None:
    """With its options, in the place of the old one."""
    tbl.add_computed_column(c=upper(tbl.body), owners=["team:old"])
    other = tbl.add_computed_column(other=lower(tbl.body))
    new = tbl.add_computed_column(c=length(tbl.subject), if_exists=if_exists)
    assert tbl.assets == [new, other]
    assert not spec(new).owners
    assert "length" in str(spec(new).description)


@pytest.mark.parametrize("if_exists", ["ignore", "replace"])
@pytest.mark.parametrize("name", ["id", "subject", "body_idx"])
def test_other_names_are_conflicts_all_the_same(tbl: Table, name: str, if_exists: Any) -> None:
    """Columns of the upstream asset, the key, and indexes."""
    tbl.add_embedding_index(tbl.body, embedding=letters)
    before = tbl.assets
    with pytest.raises(DefinitionError, match="choose another name"):
        tbl.add_computed_column(**{name: upper(tbl.body)}, if_exists=if_exists)
    assert tbl.assets == before


def test_an_unknown_choice_is_refused(tbl: Table) -> None:
    """With what is allowed."""
    with pytest.raises(DefinitionError, match="got if_exists='skip', allowed: 'error', 'ignore', 'replace'"):
        tbl.add_computed_column(c=upper(tbl.body), if_exists="skip")  # type: ignore[arg-type]


def test_what_is_made_of_it_reads_the_new_one(store: ColumnStore) -> None:
    """Nothing has to be added again; its page tells of the new expression, at its own line."""
    upstream = rows_asset({"id": [1], "body": ["Ab"]})
    table = Table(upstream, key="id")
    table.add_computed_column(c=upper(table.body))
    before = table.add_computed_column(d={"x": table.c})
    table.add_computed_column(c=lower(table.body), if_exists="replace")
    materialize([upstream, *table.assets], store)
    assert values(store, "tickets/d") == ['{"x":"ab"}']
    after = next(asset for asset in table.assets if asset.key == before.key)
    assert spec(after).metadata["dagster/code_references"] == spec(before).metadata["dagster/code_references"]
    assert spec(after).code_version == spec(before).code_version


def test_what_is_made_of_it_limits_what_it_can_become(tbl: Table) -> None:
    """Another type, itself, or something that is made of it; the table is as it was then."""
    tbl.add_computed_column(c=upper(tbl.body))
    tbl.add_computed_column(d=lower(tbl.c))
    tbl.add_computed_column(e=lower(tbl.d))
    before = tbl.assets
    with pytest.raises(DefinitionError, match=r"another type .* d, e read it as it is"):
        tbl.add_computed_column(c=length(tbl.body), if_exists="replace")
    with pytest.raises(DefinitionError, match="what is made of 'c', since that is the column itself"):
        tbl.add_computed_column(c=lower(tbl.c), if_exists="replace")
    with pytest.raises(DefinitionError, match="what is made of 'e', since that is made of it"):
        tbl.add_computed_column(c=lower(tbl.e), if_exists="replace")
    with pytest.raises(DefinitionError, match="max_cost_usd"):
        tbl.add_computed_column(c=lower(tbl.body), if_exists="replace", max_cost_usd=-1)
    assert tbl.assets == before
    assert "upper" in str(spec(tbl.assets[0]).description)


def test_a_column_that_nothing_is_made_of_may_change_its_type(tbl: Table) -> None:
    """References that are made from then on know the new one."""
    tbl.add_computed_column(c=moderations(tbl.body))
    tbl.add_computed_column(c=upper(tbl.body), if_exists="replace")
    assert tbl.c._type is not None
    assert tbl.c._type.__name__ == "String"


def test_an_index_is_over_the_new_column(tbl: Table) -> None:
    """Of texts; its own vectors are what they were."""
    tbl.add_computed_column(c=upper(tbl.body))
    index = tbl.add_embedding_index(tbl.c, embedding=letters)
    new = tbl.add_computed_column(c=lower(tbl.body), if_exists="replace")
    assert index in tbl.assets
    assert new in tbl.assets


def test_vectors_that_are_indexed_are_not_replaced_by_others(tbl: Table) -> None:
    """Queries are embedded by the function that made them; the same expression again is no other one."""

    @udf
    def words(text: str) -> letters.returns:  # type: ignore[name-defined]
        return letters(text)

    tbl.add_computed_column(v=letters(tbl.body))
    tbl.add_embedding_index(tbl.v)
    with pytest.raises(
        DefinitionError, match="it cannot be replaced, since the index v_idx holds its vectors"
    ):
        tbl.add_computed_column(v=words(tbl.body), if_exists="replace")
    tbl.add_computed_column(v=letters(tbl.body), if_exists="replace", owners=["team:a"])


def test_the_same_cell_again_pays_for_nothing(
    store: ColumnStore, openai: OpenAIResource, server: Any
) -> None:
    """A replaced column of the same expression is what was stored."""
    upstream = rows_asset({"id": [1, 2], "body": ["a", "b"]})
    table = Table(upstream, key="id")
    for _ in range(2):
        column = table.add_computed_column(c=ask(table.body), if_exists="replace")
        materialize([upstream, column], store, openai)
    assert len(server.asked) == 2
    assert isinstance(column, dg.AssetsDefinition)
