"""Attempts at a table with an embedding index in processes of their own, and what a search finds after them."""

import os
import pkgutil
import signal
from multiprocessing.connection import Client
from pathlib import Path
from unittest.mock import patch

from pxt_assets import EmbeddingIndexes, Table
from tests.index.shop import Shop, letters, texts


def indexed_table(folder: Path, *, by_day: bool = False) -> tuple[Shop, Table]:
    """A table whose `body` has an index, without rows."""
    shop = Shop(folder)
    tbl = shop.table(by_day=by_day)
    tbl.add_embedding_index(tbl.body, embedding=letters)
    return shop, tbl


def run(folder: Path, bodies: dict[int, str]) -> None:
    """Materializes table and index."""
    shop, tbl = indexed_table(folder)
    shop.rows[None] = texts(bodies)
    shop.run(tbl)


def run_and_die(folder: Path, bodies: dict[int, str], call: str, after: bool) -> None:
    """The same, killed before or after the first call of a function."""
    module, _, name = call.rpartition(".")
    owner = pkgutil.resolve_name(module)
    real = getattr(owner, name)

    def die(*args, **kwargs):
        if after:
            real(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    with patch.object(owner, name, die):
        run(folder, bodies)


def run_day(folder: Path, day: str, versions: list[dict[int, str]], barrier: str) -> None:
    """Materializes a partition in each of the versions, its index when all who come to the barrier have the vectors."""
    shop, tbl = indexed_table(folder, by_day=True)
    with Client(barrier) as others:
        for bodies in versions:
            shop.rows = {day: texts(bodies)}
            shop.run(tbl, days=[day], only=["tickets", "tickets/body_idx_vectors"])
            others.send("ready")
            others.recv()
            shop.run(tbl, days=[day], only=["tickets/body_idx"])


def bodies_found(folder: Path) -> dict[int, str]:
    """All that a search finds, by key."""
    shop, tbl = indexed_table(folder)
    fresh = EmbeddingIndexes(base_path=shop.indexes.base_path)
    found = tbl.body.similarity("abc", k=99, columns=["body"], indexes=fresh).to_pylist()
    assert len({row["id"] for row in found}) == len(found)
    return {row["id"]: row["body"] for row in found}
