"""What the words of a refusal say of a request of many inputs: that an input is at fault, and which one."""

from __future__ import annotations

import re

_NAMED = re.compile(
    r"""\b(?:inputs?|texts|requests|documents|contents)\[(\d+)\]
    | ["'](?:inputs?|texts)["'],\s*(\d+)
    | \b(?:input|text|example|item|element|document|prompt)\s(?:id|number|no\.|at\ (?:index|position)|with\ index|index)[\s:=\#]*(\d+)
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Places that servers name: `input[3]` (OpenAI), `["body","input",3]` (FastAPI), `example at index 3` (Voyage),
`Input id 3` (Mistral)."""
_OF_INPUT = re.compile(
    r"""context\ (?:length|window|size)
    | maximum\ (?:input|sequence|prompt)\ length
    | (?:input|prompt|text|sequence|string|document)s?\ (?:length\ )?(?:is|are|has|have|exceeds?|was|were)?\s?(?:too\ (?:long|large|many\ tokens)|(?:the\ )?max)
    | exceed(?:s|ing|ed)?\ [^.]{0,40}\btokens
    | must\ have\ less\ than\ \d+\ tokens
    | (?:cannot|can't|can\ not|must\ not|should\ not|may\ not)\ be\ (?:an\ )?(?:empty|blank|null)
    | empty\ (?:string|text|input)
    | non-empty
    | \$\.input\b
    | content\ (?:management\ )?(?:policy|filter)
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""What servers say of an input that is too long, empty or not allowed: OpenAI, Azure, vLLM, Ollama, llama.cpp, TEI."""
_OF_NUMBER = re.compile(
    r"array too long|too many (?:inputs|items|texts|requests|documents)|\bbatch(?:es)?\b|at most \d+ (?:items|inputs|texts|requests)",
    re.IGNORECASE,
)
"""What they say where it is the number of inputs."""


def inputs_named(message: str) -> tuple[int, ...]:
    """The places of the inputs that a refusal names, in their order, the first one 0; none if it names none."""
    found = {next(int(number[:9]) for number in one.groups() if number) for one in _NAMED.finditer(message)}
    return tuple(sorted(found))


def speaks_of_input(message: str) -> bool:
    """Whether a refusal says that something is wrong with an input, not with how many there are, or with the rest."""
    if _NAMED.search(message):
        return True
    return _OF_INPUT.search(message) is not None and _OF_NUMBER.search(message) is None
