"""A column of three values, the last of them null, of every type that Arrow has."""

import datetime
import decimal
import uuid

import pyarrow as pa

DAYS = [datetime.date(2027, 3, 1), datetime.date(2027, 3, 2), None]
MOMENTS = [datetime.datetime(2027, 3, 1, 8), datetime.datetime(2027, 3, 2, 9), None]  # noqa: DTZ001
TIMES = [datetime.time(8), datetime.time(9, 30), None]
SPANS = [datetime.timedelta(seconds=1), datetime.timedelta(days=2), None]
DECIMALS = [decimal.Decimal("1.50"), decimal.Decimal("2.25"), None]
UUIDS = [uuid.UUID(int=1), uuid.UUID(int=2), None]
LISTS = [["a"], ["b", "c"], None]


def categories(values: pa.Array, indices: pa.DataType) -> pa.Array:
    """The first, the second and no category."""
    return pa.DictionaryArray.from_arrays(pa.array([0, 1, None], indices), values)


def extension(arrow_type: pa.DataType, storage: list[object]) -> pa.Array:
    return pa.ExtensionArray.from_storage(arrow_type, pa.array(storage, arrow_type.storage_type))


class Celsius(pa.ExtensionType):
    """A type of some user's own."""

    def __init__(self) -> None:
        super().__init__(pa.int64(), "tests.celsius")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> "Celsius":
        return cls()


_TEXT = pa.array(["a", "b"])
_POLARS = categories(_TEXT.cast(pa.string_view()), pa.uint32())
_RUNS = pa.RunEndEncodedArray.from_arrays([1, 2, 3], pa.array(["a", "b", None]))
_ONE_EACH = pa.array([0, 1, 2, 3], pa.int32())

PLAIN = {
    **{str(t): pa.array([1, 2, None], t) for t in (pa.int8(), pa.int16(), pa.int32(), pa.int64())},
    **{str(t): pa.array([1, 2, None], t) for t in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())},
    **{str(t): pa.array([1.5, 2.0, None]).cast(t) for t in (pa.float16(), pa.float32(), pa.float64())},
    "bool": pa.array([True, False, None]),
    **{str(t): pa.array(["a", "b", None], t) for t in (pa.string(), pa.large_string(), pa.string_view())},
    **{str(t): pa.array(DAYS, t) for t in (pa.date32(), pa.date64())},
    **{f"timestamp[{u}]": pa.array(MOMENTS, pa.timestamp(u)) for u in ("s", "ms", "us", "ns")},
    "timestamp in Berlin": pa.array(MOMENTS, pa.timestamp("us", "Europe/Berlin")),
    **{
        str(t): pa.array(TIMES, t)
        for t in (pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns"))
    },
    "decimal32": pa.array(DECIMALS, pa.decimal32(9, 2)),
    "decimal64": pa.array(DECIMALS, pa.decimal64(18, 2)),
    "decimal128": pa.array(DECIMALS, pa.decimal128(38, 2)),
    "decimal256": pa.array(DECIMALS, pa.decimal256(76, 2)),
    **{
        f"categories in {indices}": categories(_TEXT, indices)
        for indices in (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint32(), pa.uint64())
    },
    "categories of large texts": categories(_TEXT.cast(pa.large_string()), pa.uint8()),
    "categories of polars": _POLARS,
    "categories with a null": pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), pa.array(["a", "b", None])),
    "categories of integers": categories(pa.array([1, 2]), pa.int32()),
    "categories of dates": categories(pa.array(DAYS[:2]), pa.int32()),
    "categories of UUIDs": categories(pa.array(UUIDS[:2], pa.uuid()), pa.int32()),
    "runs": _RUNS,
    "uuid": pa.array(UUIDS, pa.uuid()),
    "bool8": extension(pa.bool8(), [1, 0, None]),
}
"""Types whose values can be keys, stand in prompts and be kept by indexes."""
SPANS_OF_TIME = {f"duration[{u}]": pa.array(SPANS, pa.duration(u)) for u in ("s", "ms", "us", "ns")}
BYTES = {
    **{str(t): pa.array([b"ab", b"cd", None], t) for t in (pa.binary(), pa.large_binary(), pa.binary_view())},
    "two bytes": pa.array([b"ab", b"cd", None], pa.binary(2)),
}
NESTED = {
    "list": pa.array(LISTS),
    "large list": pa.array(LISTS, pa.large_list(pa.string())),
    "fixed list": pa.array([[1, 2], [3, 4], None], pa.list_(pa.int64(), 2)),
    "list view": pa.array(LISTS, pa.list_view(pa.string())),
    "large list view": pa.array(LISTS, pa.large_list_view(pa.string_view())),
    "list of views": pa.array(LISTS, pa.large_list(pa.string_view())),
    "list of categories": pa.ListArray.from_arrays(_ONE_EACH, _POLARS),
    "list of runs": pa.ListArray.from_arrays(_ONE_EACH, _RUNS),
    "list of UUIDs": pa.ListArray.from_arrays(_ONE_EACH, pa.array(UUIDS, pa.uuid())),
    "struct": pa.array([{"a": 1}, {"a": 2}, None]),
    "struct of categories": pa.StructArray.from_arrays([_POLARS], ["c"]),
    "struct of UUIDs": pa.StructArray.from_arrays([pa.array(UUIDS, pa.uuid())], ["u"]),
    "map": pa.array([[("a", 1)], [("b", 2)], None], pa.map_(pa.string(), pa.int64())),
    "tensor": extension(pa.fixed_shape_tensor(pa.float32(), [2]), [[1, 2], [3, 4], None]),
    "json": extension(pa.json_(), ['{"a":1}', "2", None]),
    "json of large texts": extension(pa.json_(pa.large_string()), ['{"a":1}', "2", None]),
}
OTHER_EXTENSIONS = {
    "opaque": extension(pa.opaque(pa.string(), "geometry", "a database"), ["a", "b", None]),
    "a user's": extension(Celsius(), [1, 2, None]),
}
NOT_STORABLE = {
    "month_day_nano": pa.array([pa.MonthDayNano([1, 2, 3]), None], pa.month_day_nano_interval()),
    "struct without fields": pa.array([{}, {}, None], pa.struct([])),
    "dense union": pa.UnionArray.from_dense(
        pa.array([0, 1], pa.int8()), pa.array([0, 0], pa.int32()), [pa.array([1]), pa.array(["a"])]
    ),
    "list of unions": pa.ListArray.from_arrays(
        pa.array([0, 1, 2], pa.int32()),
        pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]),
    ),
}
STORABLE = {**PLAIN, **SPANS_OF_TIME, **BYTES, **NESTED, **OTHER_EXTENSIONS, "null": pa.nulls(3)}
