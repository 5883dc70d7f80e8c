"""What a store refuses, in words: what may not be done, where, and what is to be granted."""

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from s3fs.errors import translate_boto_error
from upath import UPath

from pxt_assets.errors import SourceError
from pxt_assets.storage.refusals import refusal_text, refusals_told

BUCKET = UPath("s3://bucket/columns")


def refused(operation: str, code: str, said: str = "Access Denied") -> OSError:
    """As s3fs raises it."""
    error = translate_boto_error(ClientError({"Error": {"Code": code, "Message": said}}, operation))
    assert isinstance(error, OSError)
    return error


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("ListObjectsV2", "list"),
        ("HeadObject", "read, or list"),
        ("GetObject", "read"),
        ("PutObject", "write"),
        ("UploadPart", "write"),
        ("DeleteObject", "delete"),
        ("DeleteObjects", "delete"),
        ("CreateBucket", "create the bucket, which is not there or is not shown to it"),
        ("RestoreObject", "do what it has to"),
    ],
)
def test_the_action_is_named_with_what_is_to_be_granted(operation: str, action: str) -> None:
    text = refusal_text(refused(operation, "AccessDenied"), BUCKET)
    assert text is not None
    assert text.startswith(
        f"the store at s3://bucket/columns does not let this worker {action} ({operation}, "
    )
    assert "AccessDenied: Access Denied" in text
    for needed in ("s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "materialize again"):
        assert needed in text


@pytest.mark.parametrize(
    "code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"]
)
def test_refused_credentials_are_no_lack_of_permission(code: str) -> None:
    text = refusal_text(refused("ListObjectsV2", code), BUCKET)
    assert text is not None
    assert "does not take the credentials of this worker" in text
    assert "s3:PutObject" not in text


def test_a_clock_that_is_too_far_off_is_named() -> None:
    """S3 takes no request that was signed more than a quarter of an hour ago, and s3fs calls that a lack of permission."""
    text = refusal_text(refused("PutObject", "RequestTimeTooSkewed", "The difference is too large."), BUCKET)
    assert text is not None
    assert "Set the clock of its host" in text
    assert "s3:PutObject" not in text


def test_the_words_of_other_stores_are_told() -> None:
    """gcsfs raises an OSError without a number."""
    text = refusal_text(OSError("Forbidden: https://storage.googleapis.com/b/o/x"), UPath("memory://bucket"))
    assert text is not None
    assert "Forbidden: https://storage.googleapis.com/b/o/x" in text


def test_a_local_file_is_named(tmp_path: Path) -> None:
    error = PermissionError(13, "Permission denied", str(tmp_path / "c.parquet"))
    text = refusal_text(error, UPath(tmp_path))
    assert text is not None
    assert str(tmp_path / "c.parquet") in text
    assert "s3:" not in text


@pytest.mark.parametrize(
    "error", [FileNotFoundError("x"), OSError(28, "No space left"), ConnectionError("x")]
)
def test_what_is_no_refusal_is_none(error: OSError, tmp_path: Path) -> None:
    assert refusal_text(error, BUCKET) is None
    with pytest.raises(type(error)), refusals_told(lambda: UPath(tmp_path), "tickets", SourceError):
        raise error


def test_it_is_raised_as_who_asks_wants_it() -> None:
    def root() -> Any:
        return BUCKET

    with (
        pytest.raises(
            SourceError, match=r"^tickets: the store at s3://bucket/columns does not let"
        ) as caught,
        refusals_told(root, "tickets", SourceError),
    ):
        raise refused("GetObject", "AccessDenied")
    assert isinstance(caught.value.__cause__, PermissionError)
