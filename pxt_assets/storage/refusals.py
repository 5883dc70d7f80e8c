"""What a store refuses a process: in words that say what it may not do, where, and what is to be granted.

A file system's own words are `PermissionError: Forbidden`, without a path: S3 gives no reason where it was asked for an
object's head alone, and says `Forbidden` of what is not there to whoever may not list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pxt_assets.storage.atomic_file import is_local

if TYPE_CHECKING:
    from upath import UPath

_ACTIONS = {
    "HeadBucket": "list",
    "ListObjects": "list",
    "ListObjectsV2": "list",
    "HeadObject": "read, or list",
    "GetObject": "read",
    "PutObject": "write",
    "CopyObject": "write",
    "CreateMultipartUpload": "write",
    "UploadPart": "write",
    "CompleteMultipartUpload": "write",
    "DeleteObject": "delete",
    "DeleteObjects": "delete",
    "CreateBucket": "create the bucket, which is not there or is not shown to it",
}
"""What the operations of S3 do, by their names."""
_CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)
_CLOCKS = frozenset({"RequestTimeTooSkewed", "RequestExpired"})
_AGAIN = "and materialize again: what is finished is kept, and is not asked for again"


@contextmanager
def refusals_told(
    root: Callable[[], UPath], label: str, error: Callable[[str], BaseException]
) -> Iterator[None]:
    """Within the block, what the store at `root` refuses is raised as `error` of a text that begins with `label`."""
    try:
        yield
    except OSError as e:
        text = refusal_text(e, root())
        if text is None:
            raise
        raise error(f"{label}: {text}") from e


def refusal_text(error: OSError, root: UPath) -> str | None:
    """What to tell of an error of the store at `root`; None for one that is no refusal."""
    answer = _answer_to(error)
    code = str(answer.get("Code", ""))
    if not (isinstance(error, PermissionError) or str(error).startswith("Forbidden") or code in _CREDENTIALS):
        return None
    if is_local(root):
        return (
            f"the system refuses this process a file ({error}). Let the user that it runs as read and write below {root.path}, "
            f"in .pxt_assets too, {_AGAIN}"
        )
    place = f"the store at {root.protocol}://{_without_credentials(root)}"
    said = f"{code or type(error).__name__}: {str(error).rstrip('. ')}"
    if code in _CLOCKS:
        return f"{place} refuses this worker since its clock is too far off ({said}). Set the clock of its host, {_AGAIN}"
    if code in _CREDENTIALS:
        return (
            f"{place} does not take the credentials of this worker ({said}). Look at storage_options of the ColumnStore, and "
            f"at the environment of each worker, {_AGAIN}"
        )
    operation = _operation_of(error)
    action = _ACTIONS.get(operation, "do what it has to")
    operation = f"{operation}, " if operation else ""
    return (
        f"{place} does not let this worker {action} ({operation}{said}). It must list, read, write and delete what is below "
        "that path, in .pxt_assets too: on S3 s3:ListBucket for the bucket, and s3:GetObject, s3:PutObject and "
        f"s3:DeleteObject for its objects. Grant these to each worker, {_AGAIN}"
    )


def _operation_of(error: OSError) -> str:
    """The operation of S3 that failed, empty where its client does not tell."""
    return str(getattr(error.__cause__, "operation_name", None) or "")


def _answer_to(error: OSError) -> dict[str, object]:
    """What S3 said of it, as its client has read it; empty where it is another one's."""
    answer = getattr(error.__cause__, "response", None)
    said = answer.get("Error") if isinstance(answer, dict) else None
    return said if isinstance(said, dict) else {}


def _without_credentials(root: UPath) -> str:
    return str(root.path).rpartition("@")[2]
