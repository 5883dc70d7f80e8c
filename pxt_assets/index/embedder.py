"""Functions that map a text or an image to a vector, for rows and for queries."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, Literal

from pxt_assets.errors import DefinitionError
from pxt_assets.expressions.expr import Call, Expr
from pxt_assets.expressions.function import Function
from pxt_assets.expressions.walk import expression_text
from pxt_assets.values.types import Array, Image, String

Modality = Literal["text", "image"]


@dataclass(frozen=True)
class Embedder:
    """A function with one argument left, the text or image to embed."""

    function: Function[...]
    parameter: str
    takes: frozenset[Modality]

    def __call__(self, value: object) -> Call:
        """The call for a value or a column. Raises DefinitionError for one that the function cannot take."""
        return self.function(**{self.parameter: value})

    @property
    def space(self) -> str:
        """The name of the space of its vectors; vectors of different spaces cannot be compared."""
        return space_of(self(_Placeholder()))

    def __repr__(self) -> str:
        fixed = ", ".join(f"{name}={value!r}" for name, value in self.function._fixed.items())
        return f"{self.function.name}({fixed})"


class _Placeholder(Expr):
    """Stands for the text or image to embed."""

    __slots__ = ()

    def __init__(self) -> None:
        self._type = None
        self._shape = {}

    def __repr__(self) -> str:
        return "…"


def space_of(call: Call) -> str:
    """The name of the space of a call's vectors: the code of its function and its constant arguments."""
    constant = {name: value for name, value in call._arguments.items() if not isinstance(value, Expr)}
    return expression_text(Call(call._function, constant))


def embedder_of(given: object, option: str) -> Embedder:
    """The embedder that a user gave as `option`. Raises DefinitionError for anything that cannot be one."""
    if not isinstance(given, Function):
        msg = (
            f"got {option}={given!r:.80}, allowed: a function that maps a text or an image to a vector, such as "
            'embeddings.using(model="text-embedding-3-small"), or a @udf that returns a numpy.ndarray'
        )
        raise DefinitionError(msg)
    if not issubclass(given.returns, Array):
        msg = (
            f"{option}: {given.name} returns {given.returns.__name__}, no vector; a @udf that does has the return hint "
            'numpy.ndarray or Array[(n,), "float32"]'
        )
        raise DefinitionError(msg)
    free = [p.name for p in inspect.signature(given).parameters.values() if p.default is p.empty]
    if len(free) != 1:
        msg = (
            f"{option}: {given.name} takes {', '.join(free) or 'nothing'}; it must have one argument left, the text or "
            f"image: fix the others, {given.name}.using({free[-1] if free else 'model'}=...)"
        )
        raise DefinitionError(msg)
    return Embedder(given, free[0], _modalities(given, free[0]))


def _modalities(function: Function[...], parameter: str) -> frozenset[Modality]:
    """What a function embeds: texts for the API's, what the hint says for a user's own, both if the hint says nothing."""
    if not function.local:
        return frozenset({"text"})
    hint: Any = getattr(function, "_hints", {}).get(parameter)
    if hint in (str, String):
        return frozenset({"text"})
    if hint in (bytes, Image) or getattr(hint, "__module__", "").startswith("PIL."):
        return frozenset({"image"})
    return frozenset({"text", "image"})


@dataclass(frozen=True)
class Embedders:
    """The functions that embed queries, each None if the index cannot be searched by such queries."""

    text: Embedder | None = None
    image: Embedder | None = None

    def for_modality(self, modality: Modality) -> Embedder | None:
        """The function for texts or for images."""
        return self.text if modality == "text" else self.image


def embedders_from_options(embedding: object, string_embed: object, image_embed: object) -> Embedders:
    """The embedders of the three options. Raises DefinitionError if two of them are for the same modality."""
    both = None if embedding is None else embedder_of(embedding, "embedding")
    text = None if string_embed is None else embedder_of(string_embed, "string_embed")
    image = None if image_embed is None else embedder_of(image_embed, "image_embed")
    for modality, one, option in (("text", text, "string_embed"), ("image", image, "image_embed")):
        if one is not None and modality not in one.takes:
            msg = f"{option}: {one.function.name} takes no {modality}: the hint of {one.parameter!r} says otherwise"
            raise DefinitionError(msg)
        if one is not None and both is not None and both.takes == {modality}:
            msg = f"got embedding={both!r} and {option}={one!r}, which are both for {modality}s; give one of them"
            raise DefinitionError(msg)
    if both is not None:
        text = text or (both if "text" in both.takes else None)
        image = image or (both if "image" in both.takes else None)
    return Embedders(text, image)
