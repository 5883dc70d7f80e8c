"""The content of messages and of functions' outputs in the `input` of POST /v1/responses."""

from dataclasses import dataclass
from typing import Any

from pxt_assets.simulator.endpoint import arguments
from pxt_assets.simulator.endpoint.errors import bad_request, missing_parameter, wrong_type, wrong_value
from pxt_assets.simulator.prompt.conversation import image_tokens
from pxt_assets.simulator.prompt.picture_url import describe_picture

_KNOWN = {
    "input_text": frozenset(("type", "text", "prompt_cache_breakpoint")),
    "input_image": frozenset(("type", "image_url", "file_id", "detail", "prompt_cache_breakpoint")),
    "input_file": frozenset(
        ("type", "file_id", "filename", "file_data", "file_url", "detail", "prompt_cache_breakpoint")
    ),
    "output_text": frozenset(("type", "text", "annotations", "logprobs")),
    "refusal": frozenset(("type", "refusal")),
}
_INPUT = ("input_text", "input_image", "input_file")
_OUTPUT = ("output_text", "refusal")


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a message."""

    text: str
    attachments: tuple[str, ...] = ()
    """Its images and files, each as a phrase."""
    image_tokens: int = 0
    """Tokens of its images."""


def read_content(content: Any, role: str, path: str) -> Content:
    """The content in a string or a list of the parts that `role` may send; `path` is its path in the request.

    Raises a 400 for a malformed one.
    """
    if isinstance(content, str):
        return Content(content)
    if not isinstance(content, list):
        raise wrong_type(path, "one of a string or array of objects", content)
    allowed = _OUTPUT if role == "assistant" else _INPUT
    texts, attachments, tokens = [], [], 0
    for index, part in enumerate(content):
        part_path = f"{path}[{index}]"
        kind = arguments.read_string_at(arguments.read_object(part, part_path), "type", part_path)
        if kind not in allowed:
            raise wrong_value(f"{part_path}.type", kind, allowed)
        arguments.refuse_unknown_at(part, _KNOWN[kind], part_path)
        if kind == "input_image":
            attachments.append(_read_image(part, part_path))
            tokens += image_tokens(part.get("detail"))
        elif kind == "input_file":
            attachments.append(_read_file(part, part_path))
        else:
            texts.append(
                arguments.read_string_at(part, "refusal" if kind == "refusal" else "text", part_path)
            )
    return Content("\n".join(texts), tuple(attachments), tokens)


def _read_image(part: dict[str, Any], path: str) -> str:
    arguments.check_word(part, "detail", ("low", "high", "auto", "original"), at=path)
    arguments.check_string(part, "file_id", at=path)
    url, file_id = part.get("image_url"), part.get("file_id")
    if url is None:
        if file_id is None:
            raise missing_parameter(f"{path}.image_url")
        return f"image {file_id}, not looked at"
    if not isinstance(url, str):
        raise wrong_type(f"{path}.image_url", "an image URL", url)
    if file_id is not None:
        raise bad_request(
            f"Invalid '{path}': 'image_url' and 'file_id' exclude each other.",
            code="mutually_exclusive_parameters",
            param=path,
        )
    return describe_picture(url, f"{path}.image_url")


def _read_file(part: dict[str, Any], path: str) -> str:
    arguments.check_word(part, "detail", ("auto", "low", "high"), at=path)
    for name in ("file_id", "filename", "file_data", "file_url"):
        arguments.check_string(part, name, at=path)
    named = part.get("file_id") or part.get("file_url")
    if named is None and part.get("file_data") is None:
        raise missing_parameter(f"{path}.file_id")
    return f"file {part.get('filename') or named or 'without a name'}, not read"
