"""The photos that come with the demo: small, and each of a ticket."""

import re
from pathlib import Path

import PIL.Image
import pytest

import pxt_assets
from pxt_assets.files import read_files

DATA = Path(pxt_assets.__file__).parent / "demo" / "data"
PHOTOS = sorted((DATA / "photos").rglob("*.*"))


def test_each_day_of_tickets_has_two_photos():
    """So that no partition is without."""
    days = sorted(path.stem for path in (DATA / "tickets").glob("*.csv"))
    assert [photo.parent.name for photo in PHOTOS] == [day for day in days for _ in range(2)]


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda photo: photo.name)
def test_a_photo_is_of_a_ticket_of_its_day(photo):
    """`T-1001-jacket.jpg` shows the product that ticket T-1001 of that day is about."""
    number, thing = re.fullmatch(r"(T-\d+)-([a-z-]+)\.jpg", photo.name).groups()
    tickets = read_files(str(DATA / "tickets" / f"{photo.parent.name}.csv")).read_all().to_pylist()
    (ticket,) = [ticket for ticket in tickets if ticket["id"] == number]
    assert ticket["product"].endswith(thing.replace("-", " "))


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda photo: photo.name)
def test_a_photo_is_a_small_jpeg(photo):
    """Small enough for the package, large enough to show something."""
    assert photo.stat().st_size < 25_000
    with PIL.Image.open(photo) as image:
        image.load()
        assert (image.format, image.size) == ("JPEG", (480, 360))
        assert not image.getexif()
