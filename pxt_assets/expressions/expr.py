"""Column expressions: references, JSON paths, function calls, and dict and list templates of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol

from pxt_assets.errors import DefinitionError
from pxt_assets.expressions.asset_arguments import asset_argument_error, called_by_dagster
from pxt_assets.expressions.path_steps import (
    ALL,
    Shape,
    Step,
    is_step,
    may_be_parts,
    shape_after_step,
    step_text,
    why_no_step,
)
from pxt_assets.values.types import (
    Bool,
    ColumnType,
    Float,
    Image,
    ImageList,
    Int,
    Json,
    String,
    type_name,
)

if TYPE_CHECKING:
    import dagster as dg
    import pyarrow as pa

    from pxt_assets.api.request import CellRequest


class Expr:
    """A value that is computed for each row. Attributes and items extend it to a path into its JSON value.

    Example:
        `tbl.response.choices[0].message.content`, `tbl.response["usage"]`, `tbl.response.choices["*"].index`
    """

    __slots__ = ("_shape", "_type")

    _type: type[ColumnType] | None
    """The column type, where it is known while definitions load."""
    _shape: Shape
    """What is known of the JSON value inside, `{}` where nothing is."""

    def __getattr__(self, name: str) -> Path:
        if name.startswith("__") or name in _SLOTS:  # copy and pickle ask for these before repr works
            raise AttributeError(name)
        if called_by_dagster(1):
            raise self._asset_argument_error()
        if name.startswith("_"):
            msg = f"{self!r} has no attribute {name!r}; a JSON key that begins with _ is written [{name!r}]"
            raise AttributeError(msg)
        return Path(self, name)

    def __getitem__(self, step: Step) -> Path:
        if not is_step(step):
            msg = (
                f"got {self!r}[{step!r}]; a path step is a key, an index, a slice of indexes, or '*' for all"
            )
            raise DefinitionError(msg)
        return Path(self, ALL if step == "*" else step)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """Its type; where Dagster asks for it, a column was given in place of an asset, which it cannot be."""
        if called_by_dagster(1):
            raise self._asset_argument_error()
        return type(self)

    def _asset_argument_error(self) -> DefinitionError:
        base = getattr(self, "_base", self)  # of a path
        asset = getattr(base, "_asset", None) if type(base) is ColumnRef else None
        return asset_argument_error(self, None if asset is None else [*asset.path])

    def _refuse(self, what: str, instead: str) -> NoReturn:
        if called_by_dagster(2):
            raise self._asset_argument_error()
        msg = (
            f"{self!r} {what}: it stands for a value of each row, not known while definitions load; {instead}"
        )
        raise DefinitionError(msg)

    def __iter__(self) -> NoReturn:
        self._refuse("cannot be iterated", 'to map over a list write ["*"]')

    def __contains__(self, item: object) -> NoReturn:
        self._refuse("cannot be searched with `in`", "use a computed column of its own")

    def __bool__(self) -> NoReturn:
        self._refuse("has no truth value", "use a computed column of its own")

    def __eq__(self, other: object) -> NoReturn:
        self._refuse("cannot be compared", "use a computed column of its own")

    __hash__ = object.__hash__

    def __deepcopy__(
        self, memo: object
    ) -> Expr:  # nothing of it changes; and it holds assets, which cannot be copied
        return self

    def __len__(self) -> NoReturn:
        self._refuse("has no length", "use a computed column of its own")

    def __format__(self, spec: str) -> NoReturn:
        self._refuse(
            "cannot be put into an f-string or format()",
            "give the text and the column as separate messages, or as separate parts of one message's content",
        )

    def __str__(self) -> str:
        self._refuse("cannot be turned into text", "give the column itself")

    def __add__(self, other: object) -> NoReturn:
        self._refuse(
            "cannot be added to", "give the text and the column as separate messages or content parts"
        )

    __radd__ = __add__


class ColumnIndexes(Protocol):
    """The embedding indexes of a column's table."""

    def search_index(self, column: ColumnRef, query: Any, **options: Any) -> pa.Table:
        """The rows of the column's index that are nearest to a query."""

    def vectors_of(self, column: ColumnRef, call: Call, name: str) -> ColumnRef:
        """The computed column that holds the vectors `call` makes, added as `name` unless there is one."""


class ColumnRef(Expr):
    """A column of a table: of its upstream rows, or computed."""

    __slots__ = ("_asset", "_column", "_table", "_table_indexes")

    def __init__(
        self,
        table: dg.AssetKey,
        asset: dg.AssetKey,
        column: str,
        column_type: type[ColumnType] | None = None,
        shape: Shape | None = None,
        *,
        table_indexes: ColumnIndexes | None = None,
    ) -> None:
        self._table_indexes = table_indexes
        self._table = table
        self._asset = asset
        self._column = column
        self._type = column_type
        self._shape = shape or {}

    def __repr__(self) -> str:
        return f"{'.'.join(self._table.path)}.{self._column}"

    def of_asset(self, asset: dg.AssetKey) -> ColumnRef:
        """The same column, in an asset with another key."""
        return ColumnRef(
            self._table, asset, self._column, self._type, self._shape, table_indexes=self._table_indexes
        )

    def similarity(
        self,
        query: Any,
        *,
        k: int = 10,
        where: str | None = None,
        columns: Sequence[str] = (),
        partition_key: str | Sequence[str] | None = None,
        idx_name: str | None = None,
        indexes: Any = None,
    ) -> pa.Table:
        """The rows whose column is most like the query, by the column's embedding index, the nearest first.

        Example:
            ```python
            tbl.add_embedding_index(tbl.body, embedding=embeddings.using(model="text-embedding-3-small"))
            ...  # once it is materialized
            near = tbl.body.similarity("my parcel is late", k=3, columns=["body"], indexes=indexes)
            ```

        Args:
            query: a text, an image (PIL image, bytes, or its path as a `pathlib.Path`) or a vector (numbers); or a list of
                these, each of which is searched for.
            k: how many rows, at most, for each query.
            where: only among these rows: SQL over the columns that the index keeps, `"stars > 3 AND lang = 'en'"`.
            columns: columns that the index keeps to give besides the key.
            partition_key: only among the rows of this partition, or of these.
            idx_name: which index, where the column has several.
            indexes: the EmbeddingIndexes resource; by default the one with which the index was materialized in this
                process.

        Returns a pa.Table: `query`, the number of the query (of a list of queries alone), `partition_key` (of an index
        with partitions), the key columns (`row`, the position, of a table without a key), `score` (float64, the higher
        the nearer: the cosine, the inner product, or for "l2" the distance with a minus), and `columns`.

        Raises SearchError: for a query that the index's functions do not take, of another length than the index's
        vectors, or a zero vector under cosine; for an index that was never materialized, or with another model.
        """
        if self._table_indexes is None:
            msg = f"{self!r} is no column of a Table, whose indexes could be searched"
            raise DefinitionError(msg)
        return self._table_indexes.search_index(
            self,
            query,
            k=k,
            where=where,
            columns=columns,
            partition_key=partition_key,
            idx_name=idx_name,
            indexes=indexes,
        )


class Path(Expr):
    """A path into the JSON value of another expression; null where a row lacks it."""

    __slots__ = ("_base", "_element_shape", "_maps", "_steps")

    _element_shape: Shape
    """The shape that the next step is applied to: after a map, that of each element."""
    _maps: int
    """How many maps the path has."""

    def __init__(self, base: Expr, step: Step) -> None:
        is_part = may_be_parts(base._shape) and not isinstance(step, str)
        if base._type is not None and base._type in PRIMITIVES.values() and not is_part:
            msg = f"{base!r}{step_text(step)}: {base!r} is {type_name(base._type)}, which has nothing inside"
            raise DefinitionError(msg)
        self._base: Expr = base._base if isinstance(base, Path) else base
        self._steps: tuple[Step, ...] = (*base._steps, step) if isinstance(base, Path) else (step,)
        element, maps = (base._element_shape, base._maps) if isinstance(base, Path) else (base._shape, 0)
        if (reason := why_no_step(element, step)) is not None:
            msg = f"{base!r} has no {step_text(step).removeprefix('.')}, {reason}"
            raise DefinitionError(msg)
        self._element_shape = shape_after_step(element, step)
        self._maps = maps + isinstance(step, slice)
        self._shape = self._element_shape
        for _ in range(self._maps):
            self._shape = {"items": self._shape}
        self._type = PRIMITIVES.get(str(self._shape.get("type")), Json)
        if self._shape == IMAGE_LIST_SHAPE:
            self._type = ImageList

    def __repr__(self) -> str:
        return repr(self._base) + "".join(step_text(step) for step in self._steps)


class ColumnFunction(Protocol):
    """A function that expressions can call."""

    name: str
    returns: type[ColumnType]
    shape: Shape
    required_arguments: Set[str]
    """The arguments that must not be null."""
    local: bool
    """Whether it runs in this process, without any request to the API."""

    @property
    def version(self) -> str:
        """The function's part of a column's code version."""

    def cell_request(self, arguments: Mapping[str, Any]) -> CellRequest:
        """The request of one cell. Raises CellError for arguments that the function cannot take."""


class Call(Expr):
    """A function applied to arguments, any of which may hold expressions."""

    __slots__ = ("_arguments", "_function")

    def __init__(self, function: ColumnFunction, arguments: Mapping[str, Any]) -> None:
        self._function = function
        self._arguments = arguments
        self._type = function.returns
        self._shape = function.shape

    def __repr__(self) -> str:
        return f"{self._function.name}({', '.join(f'{k}={v!r}' for k, v in self._arguments.items())})"


class RequestOfTexts(NamedTuple):
    """A call's request for rows whose values are texts, without building it anew for each."""

    columns: Sequence[Expr]
    """Whose texts they are, in the order in which a call reads them."""
    fill: Callable[[tuple[str, ...]], CellRequest]
    """Makes the request of texts, none of them empty. Raises UnicodeEncodeError for lone surrogates."""


_SLOTS = frozenset(slot for cls in (Expr, ColumnRef, Path, Call) for slot in cls.__slots__)

PRIMITIVES: dict[str, type[ColumnType]] = {
    "string": String,
    "integer": Int,
    "number": Float,
    "boolean": Bool,
    "image": Image,  # no type of JSON Schema: stands for the images in a result
}


IMAGE_LIST_SHAPE: Shape = {"items": {"type": "image"}}
