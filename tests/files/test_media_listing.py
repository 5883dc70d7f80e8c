"""Which images and audio files a pattern means, in a folder and by partition."""

import fsspec
import pytest

from tests.files.media_folder import PICTURES, SOUNDS, names, refusal, rows


class TestWhichFiles:
    def test_a_folder_means_the_files_of_the_kind_directly_in_it(self, folder):
        """Other files, hidden ones and what is in sub-folders are left out."""
        data = folder(
            "a.png", "b.JPG", "c.mp3", "d.txt", "e", ".png", ".f.png", "g.png.bak", "h/i.png", "j.png/k.png"
        )
        for pattern in (data, f"{data}/", f"file://{data}/"):
            assert names(pattern, schema=PICTURES) == ["a.png", "b.JPG"]
        assert names(data, schema=SOUNDS) == ["c.mp3"]

    def test_a_folder_may_be_relative(self, folder, monkeypatch):
        """Paths are absolute all the same, whatever the working directory is called."""
        data = folder("old [1]/a.png", "old [1]/in/b.png")
        monkeypatch.chdir(data / "old [1]")
        for pattern, found in {"in": "in/b", "in/": "in/b", "./in": "in/b", ".": "a", "./": "a"}.items():
            assert rows(pattern, schema=PICTURES)["path"].to_pylist() == [f"{data}/old [1]/{found}.png"]

    def test_a_folder_may_be_called_like_a_file_or_a_version(self, folder):
        """With / at the end any name is a folder's."""
        data = folder("pics.csv/a.png", "2027.03/a.png")
        assert names(f"{data}/pics.csv/", schema=PICTURES) == ["a.png"]
        assert names(f"{data}/2027.03", schema=PICTURES) == ["a.png"]

    def test_a_glob_of_folders_means_the_files_in_each(self, folder):
        """With / at the end."""
        data = folder("x/a.png", "y/b.png", "y/z/c.png", "y/d.txt")
        assert names(f"{data}/*/", schema=PICTURES) == ["a.png", "b.png"]

    def test_two_stars_match_folders_at_any_depth(self, folder):
        """As for other files."""
        data = folder("a.mp3", "x/b.mp3", "x/y/c.mp3", "x/y/c.txt")
        assert names(data / "**" / "*.mp3") == ["a.mp3", "b.mp3", "c.mp3"]

    def test_hidden_files_are_matched_as_in_a_shell(self, folder):
        """A * does not stand for a dot at the beginning: `._a.png` is what macOS puts beside `a.png`."""
        data = folder("a.png", "._a.png")
        assert names(data / "*.png") == ["a.png"]
        assert names(data / ".*.png") == ["._a.png"]
        assert names(data / "._a.png") == ["._a.png"]

    def test_all_that_a_glob_matches_must_be_of_the_kind(self, folder):
        """The first that is not is named; a glob without a suffix needs `schema`, as a folder does."""
        data = folder("a.png", "b.jpg", "c.mp3", "c.txt")
        assert names(data / "[ab]*", schema=PICTURES) == ["a.png", "b.jpg"]
        assert f"{data}/c.mp3: is no image file by its suffix" in refusal(data / "*", schema=PICTURES)
        assert f"{data}/a.png: is no audio file by its suffix" in refusal(data / "*", schema=SOUNDS)
        assert f"{data}/c.txt: is no audio file" in refusal(data / "c*", schema=SOUNDS)

    def test_links_count_where_the_listing_reports_them_as_files(self, folder):
        """Listings of the local file system do not: a link in a folder may lead anywhere."""
        data = folder("a.png", "elsewhere/b.png")
        (data / "link.png").symlink_to(data / "elsewhere" / "b.png")
        (data / "broken.png").symlink_to(data / "nowhere")
        (data / "loop").symlink_to(data)
        assert names(data / "*.png") == names(data, schema=PICTURES) == ["a.png"]
        assert names(data / "link.png") == ["link.png"]
        (data / "a.png").unlink()
        assert "link.png (a link)" in refusal(data / "*.png")

    @pytest.mark.parametrize("pattern", ["", "/"])
    def test_a_folder_without_the_kind_says_what_is_in_it(self, folder, pattern):
        """And what would count."""
        data = folder("pics/a.mp3", "pics/b.txt", "pics/.c.png", "pics/d/e.png")
        said = refusal(f"{data}/pics{pattern}", schema=PICTURES)
        assert (
            f"no image file matches {data}/pics{pattern}; in {data}/pics there is .c.png, a.mp3, b.txt"
            in said
        )
        assert ".jpg, .tif, .jpeg, .png" in said

    def test_an_empty_folder_and_a_missing_one_are_named(self, folder):
        """The sub-folders of one that holds nothing else are listed."""
        data = folder("x/cats/a.png", "x/dogs/a.png")
        (data / "empty").mkdir()
        assert f"the folder {data}/empty holds no files" in refusal(data / "empty", schema=PICTURES)
        assert f"{data}/x holds no files, but the folders cats, dogs" in refusal(data / "x", schema=PICTURES)
        assert f"there is no folder {data}/nowhere" in refusal(data / "nowhere", schema=PICTURES)
        assert "no file matches" in refusal(data / "x" / "*.png")

    def test_a_folder_in_place_of_a_file_says_what_to_write(self, folder):
        """The pattern of the files in it."""
        data = folder("a.png/b.png")
        assert f"'{data}/a.png/*.png'" in refusal(data / "a.png")

    def test_urls_are_those_of_fsspec_without_credentials(self):
        """What opens the file again, given the storage options."""

        class Locked(fsspec.AbstractFileSystem):
            protocol = "lockedpics"
            cachable = False

            def __init__(self, token):
                super().__init__()
                assert token == "t0ken"

            @classmethod
            def _strip_protocol(cls, path):
                return path.removeprefix("lockedpics://").rstrip("/")

            def ls(self, path, detail=True, **options):
                entry = {"name": "ann:s3cr3t@host/a@b #%.png", "size": None, "type": "file"}
                return [entry] if detail else [entry["name"]]

        fsspec.register_implementation("lockedpics", Locked, clobber=True)
        pattern = "lockedpics://ann:s3cr3t@host/*.png"
        (row,) = rows(pattern, storage_options={"token": "t0ken"}).to_pylist()
        assert row["path"] == row["image"]["path"] == "lockedpics://host/a@b #%.png"
        assert row["size"] is None


class TestPartitions:
    def test_a_partition_is_a_folder_of_its_name(self, folder):
        """Given by its name alone, or with a glob."""
        data = folder("mon/a.png", "mon/b.png", "tue/c.png", "tue/d.txt")
        assert names(data / "{partition_key}" / "*.png", partition_key="mon") == ["a.png", "b.png"]
        assert names(data / "{partition_key}", partition_key="tue", schema=PICTURES) == ["c.png"]
        assert names(f"{data}/{{partition_key}}/", partition_key="tue", schema=PICTURES) == ["c.png"]
        assert f"{data}/tue" in refusal(data / "{partition_key}", partition_key="tue", schema=SOUNDS)
        assert "partition 'wed'" in refusal(data / "{partition_key}", partition_key="wed", schema=SOUNDS)

    def test_a_partition_may_be_one_file(self, folder):
        """Or the beginning of several names."""
        data = folder("mon-1.png", "mon-2.png", "tue.png")
        assert names(data / "{partition_key}.png", partition_key="tue") == ["tue.png"]
        assert names(data / "{partition_key}-*.png", partition_key="mon") == ["mon-1.png", "mon-2.png"]

    @pytest.mark.parametrize("key", ["..", "../mon", "a/b", "."])
    def test_a_key_cannot_leave_the_folder_of_the_pattern(self, folder, key):
        """As for other files."""
        data = folder("secret.png", "pics/mon/a.png")
        refusal(data / "pics" / "{partition_key}", partition_key=key, schema=PICTURES)

    @pytest.mark.parametrize("key", ["*", "[m]on", "m?n"])
    def test_a_key_does_not_glob(self, folder, key):
        """A key is taken literally."""
        assert "no file matches" in refusal(
            folder("mon/a.png") / "{partition_key}", partition_key=key, schema=PICTURES
        )

    def test_dimensions_have_placeholders_of_their_own(self, folder):
        """A multi-dimensional key is named part by part."""
        data = folder("eu/mon/a.png", "us/mon/b.png")
        where = {"region": "us", "day": "mon"}
        got = names(data / "{region}" / "{day}", partition_key="mon|us", dimensions=where, schema=PICTURES)
        assert got == ["b.png"]
