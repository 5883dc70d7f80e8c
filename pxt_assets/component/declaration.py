"""What a column's entry in YAML may hold."""

from typing import Annotated, Any, Literal

import dagster as dg
from pydantic import ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails, InitErrorDetails

from pxt_assets.component.examples import EXAMPLES, VALUE

_OR_NONE: list[dict[str, Any]] = [{"type": "string"}, {"type": "object"}, {"type": "null"}]

FromYaml = Annotated[Any, WithJsonSchema({"anyOf": _OR_NONE})]
"""A name, a mapping, or a template that gives a Python object."""


_MAY_BE_SECRET = ("openai", "store", "storage_options")


def without_secrets(error: ValidationError) -> ValidationError:
    """The same error without the values that are shown with it where these may hold a key or a password."""
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
        error["loc"][:1] == () or error["loc"][0] in _MAY_BE_SECRET or isinstance(error["input"], dict | list)
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


class AssetOptions(dg.Model):
    """Options of columns' assets."""

    on_error: Literal["abort", "ignore"] = Field(
        default="abort",
        description="`abort`: a failed row fails the run; `ignore`: its error is stored beside the others' results.",
    )
    automation_condition: FromYaml = Field(
        default=None,
        description="When the column runs by itself: `on_changed_inputs`, `eager`, `on_missing`, `{on_cron: '0 6 * * *'}`, "
        "or a template.",
        examples=["on_changed_inputs", {"on_cron": "0 6 * * *"}, "{{ dg.AutomationCondition.eager() }}"],
    )
    freshness_policy: FromYaml = Field(
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


class ColumnDeclaration(AssetOptions):
    """A computed column: the function that is applied and its arguments, or a `value`.

    In `arguments` and `value` a text that begins with `$tbl` is a reference; all other text comes through as it is,
    `{{ braces }}` included.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [*EXAMPLES.values(), VALUE]})

    name: str = Field(description="The column's name; its asset's key is the table's, followed by this.")
    function: str | None = Field(
        default=None,
        description="chat_completions, responses, embeddings, moderations, image_generations, image_edits, "
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
    partition_mapping: FromYaml = Field(
        default=None,
        description="How the column's partitions map to those of the table's asset: `identity`, `all`, `last`, "
        "`{time_window: {start_offset: -1, end_offset: 0}}`, `{specific: [a, b]}`, `{static: {a: b}}`, "
        "`{dimension: name}`, or a template.",
        examples=["all", {"time_window": {"start_offset": -1, "end_offset": 0}}],
    )
    description: str | None = Field(default=None, description="What the column holds, as Markdown.")
