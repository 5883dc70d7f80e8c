"""Strings that match a regular expression, for the `pattern` of a JSON schema: best effort."""

import re
from collections.abc import Callable
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

Draw = Callable[[int], int]
"""A number from 0 to n - 1; the same sequence for the same text."""

_CATEGORIES = {
    ops.CATEGORY_DIGIT: "0123456789",
    ops.CATEGORY_WORD: "abcdefghijklmnopqrstuvwxyz",
    ops.CATEGORY_SPACE: " ",
    ops.CATEGORY_NOT_DIGIT: "abcdefghijklmnopqrstuvwxyz",
    ops.CATEGORY_NOT_WORD: "-",
    ops.CATEGORY_NOT_SPACE: "abcdefghijklmnopqrstuvwxyz",
}
_ANY = "".join(map(chr, range(32, 127)))
_MOST = 10_000
"""Characters beyond which a repetition is not followed."""


def string_matching(pattern: str, shortest: int, longest: int | None, draw: Draw) -> str | None:
    """A string of `shortest` to `longest` characters in which `pattern` is found; None where none is found.

    Look-arounds and back-references are not followed. Every string is checked against the pattern, so that a
    pattern beyond this module gives None rather than a wrong string.
    """
    try:
        compiled, tree = re.compile(pattern), parser.parse(pattern)
    except (re.error, RecursionError, OverflowError):
        return None
    for extra in (0, 1, 2, 4, 8, shortest):
        generated = _generate(tree, extra, draw)
        padded = generated + "x" * (shortest - len(generated))
        for text in (generated, padded, padded[::-1]):
            if len(text) >= shortest and (longest is None or len(text) <= longest) and compiled.search(text):
                return text
    return None


def _generate(tree: Any, extra: int, draw: Draw) -> str:
    """Text for a parsed expression, with `extra` more repetitions than required where allowed."""
    made = []
    for op, value in tree:
        if op is ops.LITERAL:
            made.append(chr(value))
        elif op in (ops.NOT_LITERAL, ops.ANY, ops.IN):
            members = _members(op, value)
            made.append(members[draw(len(members))] if members else "")
        elif op in (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT):
            low, high, inner = value
            times = min(low + extra, high if high is not ops.MAXREPEAT else _MOST, _MOST)
            made.extend(_generate(inner, extra, draw) for _ in range(times))
        elif op is ops.SUBPATTERN:
            made.append(_generate(value[-1], extra, draw))
        elif op is ops.ATOMIC_GROUP:
            made.append(_generate(value, extra, draw))
        elif op is ops.BRANCH:
            branches = value[1]
            made.append(_generate(branches[draw(len(branches))], extra, draw))
    return "".join(made)


def _members(op: Any, value: Any) -> str:
    """Some characters that a one-character expression matches."""
    if op is ops.ANY:
        return _CATEGORIES[ops.CATEGORY_WORD]
    if op is ops.NOT_LITERAL:
        return _ANY.replace(chr(value), "")
    negated, members = False, []
    for kind, item in value:
        if kind is ops.NEGATE:
            negated = True
        elif kind is ops.LITERAL:
            members.append(chr(item))
        elif kind is ops.RANGE:
            first, last = item
            members.extend(map(chr, range(first, min(last, first + 127) + 1)))
        elif kind is ops.CATEGORY:
            members.append(_CATEGORIES[item])
    found = "".join(members)
    return "".join(c for c in _ANY if c not in found) if negated else found
