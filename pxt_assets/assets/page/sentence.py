"""What a column is, as one plain sentence: catalogs show no more of a description than its first line, as it is written."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from pxt_assets.assets.page.form_text import form_text
from pxt_assets.expressions.expr import Call, ColumnRef, Expr, Path
from pxt_assets.expressions.path_steps import step_text
from pxt_assets.expressions.walk import nodes
from pxt_assets.functions.invoke import InvokeTools
from pxt_assets.functions.questions import questions_of
from pxt_assets.index.lookup import EmbeddingLookup
from pxt_assets.values.wording import counted

_MAX_PROMPT, _MAX_FORM, _MAX_OPERAND, _MAX_OPERANDS = 80, 160, 60, 3
"""Characters of a prompt, an answer's form and an operand, and the number of operands that are named."""
_MAIN_ARGUMENTS = ("audio", "image", "input", "messages", "prompt")
"""The arguments that hold what a function is applied to, rather than how."""
_JOINER = "\u2060"
"""Between what Markdown would make links of: it does so after it has read escapes."""
Schemas = Sequence[tuple[str, Mapping[str, Any]]]
"""JSON schemas, each with its name."""


def sentence_of(expr: object, table: dg.AssetKey) -> str:
    """What a column of a table is made of and how: "gpt-6-luna answers for each `tickets.body`: 'Say in one…'".

    It is Markdown that reads well unrendered, too. Computed columns of the table are named without it.
    """
    if isinstance(expr, Call):
        return _call_sentence(expr, table)
    if isinstance(expr, Path):
        return f"The field {code(field_text(expr))} of {_operand(expr._base, table)}"
    if isinstance(expr, ColumnRef):
        return f"The same values as {_operand(expr, table)}"
    read = _of_each(expr, table)
    if isinstance(expr, Mapping):
        names = _listed([code(str(name)) for name in expr])
        return f"An object with {names or 'no fields'}{f' for each {read}' if read else ''}"
    if isinstance(expr, list | tuple) and read:
        return f"A list of {counted(len(expr), 'value')} for each {read}"
    return f"The same value in every row: {code(_shortened(repr(expr), _MAX_OPERAND))}"


def column_name(ref: ColumnRef, table: dg.AssetKey) -> str:
    """A column as a sentence about the table names it: `tickets.body`; of the table's own computed columns `triage`."""
    return ref._column if ref._table == table and ref._asset != table else repr(ref)


def code(text: str) -> str:
    """Text as Markdown code within a line, between more backticks than any in it."""
    flat = " ".join(text.split())
    longest = max((len(run) for run in re.findall(r"`+", flat)), default=0)
    fence, space = "`" * (longest + 1), " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{fence}{space}{flat}{space}{fence}"


def plain(text: str) -> str:
    """Text as Markdown that shows it as it is, with as few marks of escape as that takes: they show in catalogs."""
    flat = " ".join(text.split())
    flat = re.sub(r"://|www(?=\.)|(?=@)", rf"\g<0>{_JOINER}", flat, flags=re.IGNORECASE)
    return re.sub(r"[\\`*\[<]|~(?=~)|&(?=#?\w+;)|(?<!\w)_|_(?!\w)", r"\\\g<0>", flat)


def format_of(call: Call) -> tuple[str, Mapping[str, Any]] | None:
    """The name and the JSON schema of the object that a call's answers are to be; None where it asks for none."""
    for given in _model_options(call, ("response_format", "text")):
        form = given.get("format", given) if isinstance(given, Mapping) else None
        form = form.get("json_schema", form) if isinstance(form, Mapping) else None
        if isinstance(form, Mapping) and isinstance(form.get("schema"), Mapping) and _is_constant(form):
            return str(form.get("name", "answer")), form["schema"]
    return None


def tools_of(call: Call) -> Schemas:
    """The tools that a call offers to the model: the name and the JSON schema of the arguments of each."""
    given = call._arguments.get("tools")
    if not isinstance(given, list | tuple) or not _is_constant(given):
        return []
    definitions = [one.get("function", one) for one in given if isinstance(one, Mapping)]
    return [
        (
            str(one.get("name", one.get("type", "tool"))),
            schema if isinstance(schema := one.get("parameters"), Mapping) else {},
        )
        for one in definitions
        if isinstance(one, Mapping)
    ]


def _is_constant(value: object) -> bool:
    return not any(True for _ in nodes(value))


def _model_options(call: Call, names: Sequence[str]) -> Iterator[Any]:
    for holder in (call._arguments, call._arguments.get("model_kwargs")):
        if isinstance(holder, Mapping):
            yield from (holder[name] for name in names if holder.get(name) is not None)


def _call_sentence(call: Call, table: dg.AssetKey) -> str:
    function, arguments = call._function, call._arguments
    if isinstance(function, EmbeddingLookup):
        return _lookup_sentence(function, call, table)
    if isinstance(function, InvokeTools):
        names = [code(tool.name) for tool in function.bound_tools]
        kind, verb = ("tool", "gives") if len(names) == 1 else ("tools", "give")
        return f"What the {kind} {_listed(names)} {verb} for the calls in each {_of_each(arguments, table)}"
    if function.local:
        about = _first_line(getattr(function, "__doc__", None))
        return f"{code(function.name)} of each {_of_each(arguments, table) or 'row'}{about and f': {about}'}"
    by_name = _SENTENCES.get(function.name)
    main = {name: value for name, value in arguments.items() if name in _MAIN_ARGUMENTS}
    read = _of_each(main, table)
    model = _model_text(arguments.get("model", _default_of(function, "model")), table)
    if by_name is None:
        return f"{model} applied to {_each(read)}"
    return f"{model} {by_name(_each(read), call)}"


def _default_of(function: object, argument: str) -> object:
    parameter = inspect.signature(function).parameters.get(argument) if callable(function) else None
    return None if parameter is None else parameter.default


def _each(read: str) -> str:
    return f"each {read or 'row'}"


def _lookup_sentence(lookup: EmbeddingLookup, call: Call, table: dg.AssetKey) -> str:
    k, searched = lookup.asked["k"], code(column_name(lookup.index.column, table))
    asked = _each(_of_each(lookup.asked.get("query", call._arguments), table))
    return f"The {'' if k == 1 else f'{k:,} '}{searched} nearest to {asked}"


def _answer(each: str, call: Call) -> str:
    """What a chat model does."""
    form, tools = format_of(call), tools_of(call)
    prompt = _prompt_of(call)
    text = f"answers {'for ' if prompt else ''}{each}"
    if form is not None:
        text += f" with {code(form_text(*form, characters=_MAX_FORM))}"
    if tools:
        text += (
            f" with the {'tool' if len(tools) == 1 else 'tools'} {_listed([code(name) for name, _ in tools])}"
        )
    return f"{text}{_quoted(prompt)}"


def _decision(each: str, call: Call) -> str:
    """What a model does that answers questions."""
    questions = questions_of(call)
    names = _listed([code(one.name) for one in questions if one.name is not None])
    return f"answers {counted(len(questions), 'question')} about {each}{f': {names}' if names else ''}"


_SENTENCES: Mapping[str, Callable[[str, Call], str]] = {
    "chat_completions": _answer,
    "responses": _answer,
    "decisions": _decision,
    "embeddings": lambda each, _: f"makes a vector of {each}",
    "moderations": lambda each, _: f"looks for harmful content in {each}",
    "image_generations": lambda each, call: f"draws an image for {each}{_quoted(_argument(call, 'prompt'))}",
    "image_edits": lambda each, call: f"changes {each}{_quoted(_argument(call, 'prompt'))}",
    "image_variations": lambda each, _: f"draws another image like {each}",
    "speech": lambda each, _: f"reads {each} aloud",
    "transcriptions": lambda each, _: f"writes down what is said in {each}",
    "translations": lambda each, _: f"writes down in English what is said in {each}",
}
"""What each function of the API does, after the name of its model."""


def _prompt_of(call: Call) -> str:
    """The text of a call that is the same for all rows: the first of its instructions, or of its messages."""
    for given in _model_options(call, ("instructions",)):
        if isinstance(given, str):
            return given
    messages = call._arguments.get("messages", call._arguments.get("input"))
    if isinstance(messages, str):
        return messages
    if not isinstance(messages, list | tuple):
        return ""
    told = [one for one in messages if isinstance(one, Mapping)]
    ordered = sorted(told, key=lambda one: one.get("role") not in ("system", "developer"))
    return next((text for one in ordered for text in _texts_in(one.get("content")) if text.strip()), "")


def _texts_in(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list | tuple):
        for part in content:
            if isinstance(part, Mapping) and isinstance(part.get("text"), str):
                yield part["text"]


def _argument(call: Call, name: str) -> str:
    value = call._arguments.get(name)
    return value if isinstance(value, str) else ""


def _quoted(prompt: str) -> str:
    """The beginning of a prompt, in quotes after a colon: its first sentence, if that is not too long."""
    flat = " ".join(prompt.split())
    if not flat:
        return ""
    first = re.match(rf"(.{{20,{_MAX_PROMPT}}}?)[.!?:](?= )", flat)
    text = f"{first[1]}…" if first else _shortened(flat, _MAX_PROMPT)
    return f": '{plain(text)}'"


def _shortened(text: str, characters: int) -> str:
    """Text cut at the end of a word, if there is one near."""
    if len(text) <= characters:
        return text
    head = text[:characters]
    words = head.rpartition(" ")[0]
    return f"{words if len(words) > characters // 2 else head}…"


def _first_line(docstring: str | None) -> str:
    """The first sentence of a docstring."""
    lines = (docstring or "").strip().splitlines()
    return plain(_shortened(lines[0].strip().rstrip("."), _MAX_PROMPT)) if lines else ""


def _model_text(model: object, table: dg.AssetKey) -> str:
    if isinstance(model, str):
        return plain(model)
    return f"The model in {_operand(model, table)}" if isinstance(model, Expr) else "The API's model"


def _of_each(value: object, table: dg.AssetKey) -> str:
    """The columns, paths and calls that arguments hold, as they are named in a sentence; "" for none."""
    operands = list(dict.fromkeys(_operand(one, table) for one in _outermost(value)))
    return _listed(operands)


def _outermost(value: object) -> Iterator[Expr]:
    if isinstance(value, Expr):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _outermost(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _outermost(one)


def _operand(expr: object, table: dg.AssetKey) -> str:
    return code(_shortened(_operand_text(expr, table), _MAX_OPERAND))


def _operand_text(expr: object, table: dg.AssetKey) -> str:
    if isinstance(expr, ColumnRef):
        return column_name(expr, table)
    if isinstance(expr, Path):
        return _operand_text(expr._base, table) + "".join(map(step_text, expr._steps))
    if isinstance(expr, Call):
        held = ", ".join(_operand_text(one, table) for one in _outermost(expr._arguments))
        return f"{expr._function.name}({held})"
    return repr(expr)


def field_text(path: Path) -> str:
    """A path as a field is named: `parsed.urgent`."""
    return "".join(map(step_text, path._steps)).removeprefix(".")


def _listed(texts: Sequence[str]) -> str:
    """`a`, `b` and 3 more."""
    shown, more = [*texts[:_MAX_OPERANDS]], len(texts) - _MAX_OPERANDS
    if more > 0:
        shown.append(f"{more} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else ""
