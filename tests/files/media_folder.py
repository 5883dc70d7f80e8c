"""What is read of a folder of images and audio files, and how it is refused."""

from pathlib import Path

import pytest

from pxt_assets.errors import SourceError
from pxt_assets.files import read_files
from pxt_assets.values.types import Audio, Image

PICTURES = {"image": Image}
SOUNDS = {"audio": Audio}


def rows(pattern, **options):
    return read_files(str(pattern), **options).read_all()


def names(pattern, **options):
    return [Path(path).name for path in rows(pattern, **options)["path"].to_pylist()]


def refusal(pattern, **options):
    with pytest.raises(SourceError) as refused:
        rows(pattern, **options)
    return str(refused.value)
