"""The folder of the Dagster instance, checked before Dagster is started."""

from __future__ import annotations

import os
from pathlib import Path


def check_dagster_home() -> None:
    """Raises ValueError unless DAGSTER_HOME is not set, or names a folder by an absolute path, as Dagster demands."""
    said = os.environ.get("DAGSTER_HOME")
    if not said:
        return
    path = Path(os.path.expanduser(said))  # noqa: PTH111 - as Dagster: "~" of nobody stays
    got = f"DAGSTER_HOME is {said!r}"
    if not path.is_absolute():
        msg = f"{got}, a relative path, and Dagster wants an absolute one: set it to {path.absolute()}, or unset it"
    elif not path.exists():
        msg = f"{got}, where no folder is: create it, or unset DAGSTER_HOME"
    elif not path.is_dir():
        msg = f"{got}, which is no folder: name a folder, or unset DAGSTER_HOME"
    else:
        return
    raise ValueError(msg)
