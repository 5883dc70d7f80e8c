"""The part of an asset's page that is known before the first materialization: description, kinds, tags, source line."""

from __future__ import annotations

import json
import os
import re
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path as FilePath
from pathlib import PurePath
from typing import Any

import dagster as dg
from dagster._utils.warnings import disable_dagster_warnings

from pxt_assets.assets.page.answer_figures import option_text
from pxt_assets.assets.page.form_text import form_text
from pxt_assets.assets.page.sentence import format_of, sentence_of, tools_of
from pxt_assets.expressions.expr import Call, ColumnRef, Expr, Path
from pxt_assets.expressions.walk import calls
from pxt_assets.functions.questions import questions_of
from pxt_assets.index.lookup import EmbeddingLookup
from pxt_assets.values.media import Media

_PACKAGE = f"{FilePath(__file__).parents[2]}{os.sep}"
_DEMO = f"{_PACKAGE}demo{os.sep}"
"""Its tables are declared as a user declares them."""
_MODALITIES = {
    "embeddings": "embedding",
    "image_edits": "image",
    "image_generations": "image",
    "image_variations": "image",
    "speech": "audio",
    "transcriptions": "audio",
    "translations": "audio",
}
"""The kind of data that a function reads or makes; text for those that are not here."""
_MAX_PROMPT_CHARACTERS = 20_000
"""How much of a prompt is shown."""
_LINE_CHARACTERS = 76
"""The width of a code block's lines: the page cuts off longer ones, rather than wrap them."""
_CONTINUED = "    "
"""What the rest of a wrapped line begins with."""
_FOLDED_CHARACTERS = 1_000
"""From how many characters on the UI keeps Markdown folded."""


def description_of(expr: object, table: dg.AssetKey, user_text: str | None) -> str:
    """Markdown: the user's description of the column, if any, what it is in a sentence, and the calls with their prompts.

    Its first line is a whole sentence, as catalogs join the lines, and no line is a fence: they show it unrendered.
    """
    sentence = f"{sentence_of(expr, table)}."
    texts = [call_text(call) for call in calls(expr)]
    if not texts and not isinstance(expr, Expr):
        texts = [argument_text(expr)]
    return "\n\n".join(filter(None, [user_text, sentence, *map(_code_block, texts)]))


def schemas_of(expr: object) -> dict[str, Any]:
    """Metadata with the JSON schemas that the calls of an expression send, which the UI keeps folded."""
    forms = [form for call in calls(expr) if (form := format_of(call)) is not None]
    tools = [tool for call in calls(expr) for tool in tools_of(call)]
    named = {"pxt/json_schema": dict(forms), "pxt/tools": dict(tools)}
    return {name: _folded_json(schemas) for name, schemas in named.items() if schemas}


def _folded_json(value: object) -> dg.MarkdownMetadataValue:
    """JSON as the UI shows it after a click: it draws Markdown in place that is shorter, and all short JSON."""
    text = json.dumps(_json_value(value), ensure_ascii=False, indent=2)
    return dg.MetadataValue.md(f"```json\n{text}\n```".ljust(_FOLDED_CHARACTERS))


def kinds_of(expr: object) -> set[str]:
    """Dagster's kinds of a column: who computes it, which kind of data it is, how it is stored."""
    found = {"parquet"}
    for call in calls(expr):
        if call._function.local:
            found.add("python")
        else:
            found |= {"openai", _MODALITIES.get(call._function.name, "text")}
    return found


def tags_of(expr: object) -> dict[str, str]:
    """`pxt/udf` and `pxt/model`, of the outermost call."""
    function_calls = calls(expr)
    if not function_calls:
        return {}
    model = function_calls[0]._arguments.get("model")
    tags = {"pxt/udf": function_calls[0]._function.name, "pxt/model": model if isinstance(model, str) else ""}
    return {name: _tag_value(value) for name, value in tags.items() if value}


def metadata_of(table: dg.AssetKey, name: str) -> dict[str, Any]:
    """The metadata of an asset before it is materialized: its table name, its storage, the line of the user's code."""
    known = {"dagster/table_name": ".".join([*table.path, name]), "dagster/storage_kind": "parquet"}
    line = _code_reference()
    return known if line is None else {**known, "dagster/code_references": line}


def _code_reference() -> dg.CodeReferencesMetadataValue | None:
    """The line of the user's own file that is being executed: the nearest frame outside this package, or in its demo."""
    frame = sys._getframe(1)
    while frame is not None and not _is_user_code(frame.f_code.co_filename):
        frame = frame.f_back  # type: ignore[assignment]
    if frame is None or not FilePath(frame.f_code.co_filename).is_absolute():
        return None  # a notebook, or an interpreter
    with disable_dagster_warnings():  # that it is beta: there is nothing for a user to decide
        line = dg.LocalFileCodeReference(file_path=frame.f_code.co_filename, line_number=frame.f_lineno)
        return dg.CodeReferencesMetadataValue(code_references=[line])


def _is_user_code(file: str) -> bool:
    return not file.startswith(_PACKAGE) or file.startswith(_DEMO)


def call_text(call: Call) -> str:
    """A call as text for people: messages as `role: text`, columns as `{tickets.body}`."""
    lines = [call._function.name]
    form = format_of(call)
    forms = {} if form is None else {"response_format": form_text(*form), "text": form_text(*form)}
    tools = ", ".join(form_text(name, schema) for name, schema in tools_of(call))
    forms |= {"tools": tools} if tools else {}
    function = call._function
    arguments = function.asked if isinstance(function, EmbeddingLookup) else call._arguments
    for name, value in arguments.items():
        if value is None:
            continue
        if name in forms and not isinstance(value, str | Expr):
            lines.append(f"{name}: {forms[name]}")
            continue
        if name == "questions" and questions_of(call):
            lines += ["questions:", *(f"  {_question_text(one)}" for one in value)]
        elif (
            name in ("messages", "input") and isinstance(value, list | tuple) and all(map(_is_message, value))
        ):
            lines += [f"{message['role']}: {argument_text(message['content'])}" for message in value]
        else:
            lines.append(f"{name}: {argument_text(value)}")
    text = "\n".join(lines)
    return text if len(text) <= _MAX_PROMPT_CHARACTERS else f"{text[:_MAX_PROMPT_CHARACTERS]}…"


def _question_text(question: Mapping[str, Any]) -> str:
    """`topic: choice "What is it about?" delivery (parcels, dates) | defect`"""
    instructions = question["instructions"]
    parts = instructions if isinstance(instructions, list | tuple) else [instructions]
    texts = [one["text"] if isinstance(one, Mapping) and "text" in one else one for one in parts]
    options = [
        option_text(one["value"] if "value" in one else one["label"])
        + (f" ({one['description']})" if one.get("description") else "")
        for one in question.get("choices", question.get("levels", ()))
    ]
    name = f"{question['name']}: " if question.get("name") else ""
    asked = " ".join("".join(map(argument_text, texts)).split())
    return f'{name}{question["type"]} "{asked}" {" | ".join(options)}'.rstrip()


def _is_message(value: object) -> bool:
    return isinstance(value, Mapping) and {"role", "content"} == set(value)


def argument_text(value: object) -> str:
    """An argument as text for people: text as it is, columns and paths in braces, all else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, Expr):
        return f"{{{_expression_text(value)}}}"
    return json.dumps(_json_value(value), ensure_ascii=False, indent=2)


def _expression_text(expr: Expr) -> str:
    if isinstance(expr, Call):
        return expr._function.name
    return repr(expr)


def _json_value(value: Any) -> Any:
    """A value as JSON can hold it, with columns and paths in braces."""
    if isinstance(value, Call | ColumnRef | Path):
        return f"{{{_expression_text(value)}}}"
    if isinstance(value, Mapping):
        return {str(k): _json_value(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(v) for v in value]
    if isinstance(value, Media):
        return f"<{value.format or 'media'}, {value.size:,} bytes>"
    if isinstance(value, PurePath):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


def _code_block(text: str) -> str:
    """A Markdown code block by indentation, which nothing in the text can end; blank lines at its ends are dropped."""
    lines = [part for line in text.strip().splitlines() for part in _wrapped(line)]
    return "\n".join(f"    {line}".rstrip() for line in lines)


def _wrapped(line: str) -> list[str]:
    """A line as lines that fit the page, cut between words, the further ones indented; longer words stay whole."""
    if len(line) <= _LINE_CHARACTERS:
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(
        line,
        _LINE_CHARACTERS,
        subsequent_indent=f"{indent[: _LINE_CHARACTERS // 2]}{_CONTINUED}",
        expand_tabs=False,
        replace_whitespace=False,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _tag_value(text: str) -> str:
    """Text as Dagster allows it in a tag: 63 characters of letters, digits, `_`, `-` and `.`."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", text)[:63].strip("_.-")
