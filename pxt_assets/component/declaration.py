"""What a component's entry in YAML may hold."""

from typing import Annotated, Any, Literal

import dagster as dg
from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails, InitErrorDetails

from pxt_assets.api.openai_resource import OpenAIResource
from pxt_assets.component.examples import EXAMPLES, VALUE
from pxt_assets.component.resource_fields import ResourceFields, SimulatorFields
from pxt_assets.storage.store import ColumnStore

_NAME_OR_MAPPING_SCHEMAS: list[dict[str, Any]] = [{"type": "string"}, {"type": "object"}, {"type": "null"}]

YamlValue = Annotated[Any, WithJsonSchema({"anyOf": _NAME_OR_MAPPING_SCHEMAS})]
"""A name, a mapping, or a template that gives a Python object."""

CacheOption = Annotated[
    Literal["auto", "off"], BeforeValidator(lambda given: "off" if given is False else given)
]
"""In YAML the word `off` means false."""

_SECRET_FIELDS = ("openai", "store", "storage_options")


def without_secrets(error: ValidationError) -> ValidationError:
    """The same error without the values in it that may hold a key or a password."""
    details: list[InitErrorDetails] = [
        {
            "type": one["type"],
            "loc": one["loc"],
            "ctx": one.get("ctx", {}),
            "input": "..." if _may_be_secret(one) else one["input"],
        }
        for one in error.errors(include_url=False)
    ]
    return ValidationError.from_exception_data(error.title, details)


def _may_be_secret(error: ErrorDetails) -> bool:
    return (
        error["loc"][:1] == () or error["loc"][0] in _SECRET_FIELDS or isinstance(error["input"], dict | list)
    )


class CheckOptions(dg.Model):
    """Which asset checks columns have, and when they are errors rather than warnings."""

    max_failed: float | None = Field(
        default=None,
        description="Share of the rows, 0 to 1, above which `no_failed_cells` is an error.",
        examples=[0.01],
    )
    unexpected_nulls: bool = Field(
        default=False, description="Allow rows without a value or an error: leaves `no_unexpected_nulls` out."
    )
    none_flagged: bool = Field(
        default=False, description="Of moderations: warn of rows that are flagged, in `none_flagged`."
    )
    min_confidence: float | dict[str, float] | None = Field(
        default=None,
        description="Of decisions: warn of rows that have an answer of less confidence, 0 to 1, in `none_doubtful`; one for "
        "all questions, or by question.",
        examples=[0.6],
    )
    labels: dict[str, str] | str | None = Field(
        default=None,
        description="Of decisions: the columns that hold labels, by question (of a single question just the column), with "
        "which `labels_match` compares the answers.",
        examples=[{"topic": "topic_by_hand"}],
    )
    min_accuracy: float | None = Field(
        default=None,
        description="Share of the labelled rows, 0 to 1, below which `labels_match` warns.",
        examples=[0.9],
    )


class AssetOptions(dg.Model):
    """Options of columns' assets."""

    on_error: Literal["abort", "ignore"] = Field(
        default="abort",
        description="`abort`: a failed row fails the run; `ignore`: its error is stored beside the others' results.",
    )
    cache: CacheOption = Field(
        default="auto",
        description="`off`: OpenAI is not told which part of its prompts all rows have in common, so as to read that from its "
        "cache.",
        examples=["auto", "off"],
    )
    automation_condition: YamlValue = Field(
        default=None,
        description="When the column runs by itself: `on_changed_inputs`, `eager`, `on_missing`, `{on_cron: '0 6 * * *'}`, "
        "or a template.",
        examples=["on_changed_inputs", {"on_cron": "0 6 * * *"}, "{{ dg.AutomationCondition.eager() }}"],
    )
    freshness_policy: YamlValue = Field(
        default=None,
        description="How old the column may become: `{fail_window: 36h, warn_window: 24h}`, "
        "`{deadline_cron: '0 6 * * *', lower_bound_delta: 1h}`, or a template.",
        examples=[{"fail_window": "36h", "warn_window": "24h"}],
    )
    group_name: str | None = Field(default=None, description="The group in which the UI shows the column.")
    owners: list[str] | None = Field(
        default=None,
        description="Who looks after the column: addresses, or teams.",
        examples=[["team:search", "ada@example.com"]],
    )
    tags: dict[str, str | int | float | bool] | None = Field(
        default=None, description="Tags for filtering and organizing.", examples=[{"tier": "prod"}]
    )
    kinds: list[str] | None = Field(
        default=None, description="Kinds beside those that the column has.", examples=[["gateway"]]
    )
    metadata: dict[str, Any] | None = Field(
        default=None,
        description="Metadata of the column's definition.",
        examples=[{"runbook": "https://example.com/runbook"}],
    )
    deps: list[YamlValue] | None = Field(
        default=None,
        description="Further assets upstream that the column does not read: columns, `$tbl.other`, keys of assets as text, or "
        "templates.",
        examples=[["$tbl.response", "raw/glossary"]],
    )
    retry_policy: YamlValue = Field(
        default=None,
        description="How a failed step is retried: `{max_retries: 3, delay: 30s, backoff: exponential, jitter: full}`, or a "
        "template. Finished rows are not paid for again.",
        examples=[{"max_retries": 3, "delay": "30s"}],
    )
    op_tags: dict[str, Any] | None = Field(
        default=None,
        description="Tags of the column's step.",
        examples=[
            {"dagster-k8s/config": {"container_config": {"resources": {"requests": {"memory": "2Gi"}}}}}
        ],
    )
    backfill_policy: YamlValue = Field(
        default=None,
        description="How many partitions a run of a backfill has: `single_run`, `{multi_run: 10}`, or a template.",
        examples=["single_run", {"multi_run": 10}],
    )
    pool: str | None = Field(
        default=None, description="A Dagster pool, which counts columns that run at once, not requests."
    )
    checks: CheckOptions | None = Field(
        default=None, description="Which asset checks the column has.", examples=[{"max_failed": 0.01}]
    )
    max_cost_usd: float | None = Field(
        default=None,
        description="US dollars that a run may spend on the column, unless its config says otherwise.",
    )
    within: str | None = Field(
        default=None,
        description="How long answers may take, at a lower price: `24h` (the Batch API), `8h` or `2h` (the Responses API in "
        "the background), or `now`. In `defaults`, and of the table, it is for the columns that can have it.",
        examples=["24h", "8h", "2h", "now"],
    )


class ColumnDeclaration(AssetOptions):
    """A computed column: the function that is applied and its arguments, or a `value`.

    In `arguments` and `value` a text that begins with `$tbl` is a reference; all other text comes through as it is,
    `{{ braces }}` included.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [*EXAMPLES.values(), VALUE]})

    name: str = Field(description="The column's name; its asset's key is the table's, followed by this.")
    function: str | None = Field(
        default=None,
        description="chat_completions, responses, decisions, embeddings, moderations, image_generations, image_edits, "
        "image_variations, speech, transcriptions, translations, invoke_tools, or the import path of a @udf.",
        examples=[*EXAMPLES, "my_package.functions:words", ".functions:words"],
    )
    arguments: dict[str, Any] = Field(
        default={},
        description="The function's arguments and any others of the API, by name. References stand for columns: "
        '`$tbl.body`, `$tbl.response.choices[0].message.content`, `$tbl["a name"]["*"].text`, `$tbl.parts[1:3]`. '
        "A reference is the whole text; one that begins with `$$tbl` is the text `$tbl...` itself. `tools` are import "
        "paths of Python functions, my_package.tools:order_status, or definitions of the API; a form of answers "
        "(response_format, text) is a JSON schema, or the import path of a pydantic model. A call inside of "
        "another is given a column of its own.",
        examples=[example["arguments"] for example in EXAMPLES.values()],
    )
    value: Any = Field(
        default=None,
        description="In place of a function: a column, a path into one, or a mapping or list of these.",
        examples=[VALUE["value"], {"question": "$tbl.body", "answer": "$tbl.answer"}],
    )
    partition_mapping: YamlValue = Field(
        default=None,
        description="How the column's partitions map to those of the table's asset: `identity`, `all`, `last`, "
        "`{time_window: {start_offset: -1, end_offset: 0}}`, `{specific: [a, b]}`, `{static: {a: b}}`, "
        "`{dimension: name}`, or a template.",
        examples=["all", {"time_window": {"start_offset": -1, "end_offset": 0}}],
    )
    description: str | None = Field(default=None, description="What the column holds, as Markdown.")


class TableDeclaration(dg.Model):
    """A table, its computed columns, and the resources of their own."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    table: str = Field(
        description="The key of the table's asset, as text: `tickets`, `raw/tickets`. With `files` this component makes it.",
        examples=["tickets", "raw/tickets"],
    )
    files: str | None = Field(
        default=None,
        description="Files that the table is read from: CSV, JSON Lines, Parquet or Arrow, or images or audio files, one a "
        "row. A path, glob or fsspec URL, in which `{partition_key}` stands for the partition; a relative one counts "
        "from the project's root.",
        examples=["data/tickets/{partition_key}.csv", "s3://bucket/photos/"],
    )
    encoding: str = Field(
        default="utf-8", description="The encoding of text files.", examples=["utf-8", "cp1252"]
    )
    separator: str | None = Field(
        default=None,
        description="The character between the columns of CSV files, `tab` for a tab. Without it, it is found out of each "
        "file's first lines.",
        examples=[";", "tab"],
    )
    storage_options: dict[str, Any] | None = Field(
        default=None, repr=False, description="Options of the fsspec file system that holds `files`."
    )
    key: str | list[str] | None = Field(
        default=None,
        description="The column or columns that identify a row inside a partition; without them it is its position.",
        examples=["id", ["customer", "number"]],
    )
    schema_: dict[str, str] = Field(
        default={},
        alias="schema",
        description="Types of columns that the data does not tell: String, Int, Float, Bool, Json, Image, Audio, "
        "Array[(1536,), 'float32'].",
        examples=[{"photo": "Image", "score": "Float"}],
    )
    partitions: YamlValue = Field(
        default="inherit",
        description="`inherit`: those of the table's asset, which is defined in this project; `none`; or "
        "`{dynamic: name}`, `{static: [a, b]}`, `{daily: 2027-01-01}` (or hourly, weekly, monthly; with end, timezone, "
        "end_offset, ...), `{multi: {date: {daily: 2027-01-01}, region: {static: [eu, us]}}}`, or a template. With "
        "`files` none unless they are given, or `files`: each file is one, which `files_sensor` adds as it arrives.",
        examples=[
            "inherit",
            {"daily": "2027-01-01", "timezone": "Europe/Berlin"},
            {"dynamic": "customers"},
            "files",
        ],
    )
    partition_size: Annotated[
        Any, WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]})
    ] = Field(
        default=None,
        description="With `partitions: files`, the size up to which files are grouped into one partition.",
        examples=["256MB"],
    )
    partitions_per_run: Annotated[
        Any, WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]})
    ] = Field(
        default=None,
        description="With `partitions: files`, how many partitions a run has at most; 100 by default.",
        examples=[100],
    )
    files_sensor: Annotated[
        Any, WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "object"}, {"type": "null"}]})
    ] = Field(
        default=None,
        description="With `partitions: files`, a sensor that adds files as partitions as they arrive and asks for runs of "
        "them: `true`, or its options: name, minimum_interval_seconds, settle_seconds, max_unfinished_runs, default_status "
        "(`running` or `stopped`), tags, description.",
        examples=[True, {"minimum_interval_seconds": 300, "default_status": "running"}],
    )
    openai: Annotated[Any, ResourceFields(OpenAIResource)] = Field(
        default=None,
        repr=False,
        description="This component's own way to the API; without it, and without `simulated`, the project's resource `openai`.",
        examples=[{"api_key": "{{ env.OPENAI_API_KEY }}"}],
    )
    simulated: Annotated[dict[str, Any] | None, SimulatorFields()] = Field(
        default=None,
        description="In place of `openai`: answers are made up on this machine at no cost. Options of the simulator: rpm, "
        "tpm, latency (seconds), fault_rate, seed, ..., and fields of the resource.",
        examples=[{}, {"rpm": 500, "tpm": 200_000}],
    )
    store: Annotated[Any, ResourceFields(ColumnStore)] = Field(
        default=None,
        repr=False,
        description="Where this component's columns are stored; without it, the project's resource `columns`. A relative "
        "base_path counts from the project's root.",
        examples=[{"base_path": "data/columns"}, {"base_path": "s3://bucket/columns"}],
    )
    resource_keys: dict[str, str] | None = Field(
        default=None,
        description="The keys of the project's resources that its columns use, where they are not `openai`, `columns` and "
        "`indexes`.",
        examples=[{"openai": "openai_eu", "columns": "columns_eu"}],
    )
    within: str | None = Field(
        default=None,
        description="How long answers may take (`24h`, `8h`, `2h`), of those of its columns that can have that time, unless "
        "they say otherwise.",
        examples=["24h"],
    )
    collector: Annotated[
        Any, WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "object"}, {"type": "null"}]})
    ] = Field(
        default=None,
        description="A sensor that collects answers that come later, so that no run waits for them: `true`, or its "
        "options: name, minimum_interval_seconds, default_status (`running` or `stopped`), tags, description.",
        examples=[True, {"minimum_interval_seconds": 300}],
    )
    defaults: AssetOptions = Field(
        default=AssetOptions(),
        description="Options of all columns that do not say otherwise; tags, kinds, metadata and op_tags are added up.",
    )
    columns: list[ColumnDeclaration] = Field(
        description="The computed columns, in an order in which each reads those before it."
    )
