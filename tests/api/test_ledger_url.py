import os
import stat
import tempfile
from pathlib import Path

import pytest

from pxt_assets.api.ledger_url import default_ledger_url


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporary directory, for the time of the test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_ledger_lies_in_the_storage_of_the_instance(tmp_path: Path) -> None:
    """Processes of one Dagster instance find the same file, whose folder is made if need be."""
    assert (
        default_ledger_url(tmp_path / "storage") == f"sqlite:///{tmp_path}/storage/pxt_assets_ledger.sqlite"
    )
    assert (tmp_path / "storage").is_dir()


def test_without_an_instance_it_lies_in_a_folder_of_the_user(temporary: Path) -> None:
    """Nobody else can read or write the folder in the temporary directory, and it is the same each time."""
    url = default_ledger_url(None)
    folder = Path(url.removeprefix("sqlite:///")).parent
    assert folder.parent == temporary
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert default_ledger_url(None) == url


def test_a_folder_of_somebody_else_is_not_used(temporary: Path) -> None:
    """What another user put in its place, a link for one, is refused, and the error says what to do."""
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (temporary / f"pxt_assets-{os.getuid()}").symlink_to(elsewhere)
    with pytest.raises(PermissionError, match="belongs to somebody else: give ledger of the OpenAIResource"):
        default_ledger_url(None)
