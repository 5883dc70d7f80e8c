"""A store as earlier versions left it: sidecars, journals and locks beside the columns' files."""

from upath import UPath

from pxt_assets.storage.atomic_file import remove_if_empty
from pxt_assets.storage.layout import earlier_layout, journal_folder, sidecar_of
from pxt_assets.storage.parquet import ParquetFile


def put_back(file: ParquetFile) -> None:
    """Puts the sidecar and the journal of a file where earlier versions had them; what is there already stays."""
    before = earlier(file)
    if not sidecar_of(before).exists():
        _move(sidecar_of(file).path, sidecar_of(before).path)
    for path in _listed(journal_folder(file)):
        _move(path, journal_folder(before) / path.name)
    remove_if_empty(journal_folder(file))


def earlier(file: ParquetFile) -> ParquetFile:
    """The file with its companions beside it."""
    before = earlier_layout(file)
    assert before is not None
    return before


def journal_files(file: ParquetFile) -> list[UPath]:
    """The files of a journal at both places, each name once, in order."""
    found = {path.name: path for where in (earlier(file), file) for path in _listed(journal_folder(where))}
    return [found[name] for name in sorted(found)]


def column_folder(file: ParquetFile) -> list[str]:
    """All that is in the folder of a file."""
    fs, folder = file.path.fs, file.path.parent.path
    fs.invalidate_cache()
    return sorted(str(path).removeprefix(f"{folder.rstrip('/')}/") for path in fs.find(folder))


def _move(source: UPath, target: UPath) -> None:
    if source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
        source.unlink()


def _listed(folder: UPath) -> list[UPath]:
    return [path for path in folder.iterdir() if path.is_file()] if folder.exists() else []
