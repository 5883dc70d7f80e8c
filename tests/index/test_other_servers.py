"""An index over vectors of one server, searched by those of another: told, or refused."""

import logging
from typing import Any

import dagster as dg
import pytest

from pxt_assets import Table
from pxt_assets.errors import SearchError
from pxt_assets.functions import embeddings
from pxt_assets.index import vector_servers
from pxt_assets.index.vector_servers import servers_of
from pxt_assets.values.types import String
from tests.index.shop import Shop, texts
from tests.runs import rows_asset
from tests.scripted_server import ScriptedServer, resource_of, vectors

BODIES = {1: "aaa", 2: "bbb", 3: "abc"}


@pytest.fixture
def first(serve: Any) -> ScriptedServer:
    started: ScriptedServer = serve(vectors)
    return started


@pytest.fixture
def second(serve: Any) -> ScriptedServer:
    started: ScriptedServer = serve(vectors)
    return started


@pytest.fixture(autouse=True)
def _not_warned_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_servers, "_warned", set())


def embedded(shop: Shop, *, by_day: bool = False) -> Table:
    tbl = shop.table(by_day=by_day)
    tbl.add_embedding_index(tbl.body, embedding=embeddings.using(model="text-embedding-3-small"))
    return tbl


def shop_of(folder: Any, server: ScriptedServer, **options: Any) -> Shop:
    return Shop(folder, resource_of(server, **options))


def recorded(shop: Shop, tbl: Table) -> set[str]:
    (index,) = [asset.index_spec for asset in tbl.assets if hasattr(asset, "index_spec")]
    return set(servers_of(shop.indexes.stored_index(index)))


def test_a_query_of_another_server_is_told_once(
    tmp_path: Any, first: ScriptedServer, second: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """By default: it names both servers, and what to do."""
    shop = shop_of(tmp_path, first)
    shop.rows[None] = texts(BODIES)
    tbl = embedded(shop)
    shop.run(tbl)
    with caplog.at_level(logging.WARNING, logger="pxt_assets.index"):
        shop.found(tbl, "aaa", k=1)
        assert not caplog.messages
        other = shop_of(tmp_path, second)
        assert len(other.found(tbl, "aaa", k=1)) == len(other.found(tbl, "bbb", k=1)) == 1
    (said,) = caplog.messages
    for part in ("tickets/body_idx", first.base_url, second.base_url, 'on_other_server="recompute"'):
        assert part in said


@pytest.mark.parametrize("choice", ["recompute", "fail"])
def test_it_is_refused_where_the_resource_says_so(
    choice: str, tmp_path: Any, first: ScriptedServer, second: ScriptedServer
) -> None:
    """Before anything is asked; a query that is a vector is nobody's."""
    shop = shop_of(tmp_path, first)
    shop.rows[None] = texts(BODIES)
    tbl = embedded(shop)
    shop.run(tbl)
    other = shop_of(tmp_path, second, on_other_server=choice)
    with pytest.raises(SearchError, match=r"holds vectors of .*, while queries are embedded by"):
        other.found(tbl, "aaa", k=1)
    assert not second.asked
    assert other.found(tbl, [3.0, 1.0, 2.0], k=1)


def test_recomputed_vectors_are_the_new_servers(
    tmp_path: Any, first: ScriptedServer, second: ScriptedServer
) -> None:
    """Though they be the same numbers, so that no row of the index is written."""
    shop = shop_of(tmp_path, first)
    shop.rows[None] = texts(BODIES)
    tbl = embedded(shop)
    shop.run(tbl)
    assert recorded(shop, tbl) == {first.base_url}
    other = shop_of(tmp_path, second, on_other_server="recompute")
    other.rows[None] = texts(BODIES)
    tbl = embedded(other)
    other.run(tbl)
    assert recorded(other, tbl) == {second.base_url}
    assert other.found(tbl, "aaa", k=1)


def test_each_partition_counts(tmp_path: Any, first: ScriptedServer, second: ScriptedServer) -> None:
    """Until the last one's vectors are the new server's."""
    shop = shop_of(tmp_path, first)
    shop.rows = {"mon": texts({1: "a"}), "tue": texts({2: "b"})}
    tbl = embedded(shop, by_day=True)
    shop.run(tbl, days=["mon", "tue"])
    other = shop_of(tmp_path, second, on_other_server="recompute")
    other.rows = shop.rows
    tbl = embedded(other, by_day=True)
    other.run(tbl, days=["mon"])
    assert recorded(other, tbl) == {first.base_url, second.base_url}
    other.run(tbl, days=["tue"])
    assert recorded(other, tbl) == {second.base_url}


def test_a_lookup_by_vectors_of_another_server_is_told(
    tmp_path: Any, first: ScriptedServer, second: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The questions were embedded by one, the index by another."""
    shop = shop_of(tmp_path, first)
    shop.rows[None] = texts(BODIES)
    past = shop.table()
    index = past.add_embedding_index(past.body, embedding=embeddings.using(model="text-embedding-3-small"))
    shop.run(past)
    said: list[str] = []
    monkeypatch.setattr(dg.DagsterLogManager, "warning", lambda _, text: said.append(text))
    for server in (first, second):
        source = rows_asset({"no": [1], "question": [f"a of {server.base_url}"]}, name="asked")
        asked = Table(source, key="no", schema={"question": String})
        asked.add_computed_column(context=index.search(asked.question, k=1))
        shop.openai = resource_of(server)
        shop.source = source
        shop.run(asked)
        assert len(said) == (server is second)
    assert "asked/context: tickets/body_idx holds vectors of" in said[0]
