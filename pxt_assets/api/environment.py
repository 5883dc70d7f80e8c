"""Fields of resources that are read from the environment: `EnvVar` and `EnvVar.int`, which Dagster resolves in a run.

Until then a field holds the variable's name in place of its value, so that what is checked of a value waits for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

import dagster as dg
from dagster._config.config_type import ScalarUnion
from dagster._config.errors import PostProcessingError
from dagster._config.field_utils import IntEnvVar
from dagster._config.post_process import post_process_config
from pydantic import (
    BaseModel,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic_core import core_schema

from pxt_assets.errors import no_option
from pxt_assets.values.page_docstring import page_docstring

Path = tuple[str | int, ...]


class _FloatSource(ScalarUnion):
    """A number, or the environment variable that holds one: what Dagster has for texts, integers and booleans only.

    It stands as the type of a field, for Dagster and for pydantic.
    """

    def __init__(self) -> None:
        schema: Any = dg.Selector({"env": str})  # type: ignore[no-untyped-call]
        super().__init__(scalar_type=float, non_scalar_schema=schema, _key="FloatSourceType")

    def __call__(self) -> None:
        """Nothing; `Optional[...]` takes only what can be called."""

    def __get_pydantic_core_schema__(self, _source: Any, _handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_wrap_validator_function(_unless_env_var, core_schema.float_schema())

    def post_process(self, value: Any) -> float:
        """The number. Raises PostProcessingError, which never quotes the variable's value."""
        if not isinstance(value, Mapping):
            return float(value)
        name = value["env"]
        text = os.environ.get(name)
        if text is None:
            msg = (
                f'You have attempted to fetch the environment variable "{name}" which is not set. In order for this '
                "execution to succeed it must be set in this environment."  # as Dagster says of other types
            )
            raise PostProcessingError(msg)
        try:
            return float(text)
        except ValueError:
            pass  # its message would quote the value
        msg = f'Value stored in env variable "{name}" cannot be coerced into a float.'
        raise PostProcessingError(msg)


def is_env_var(value: object) -> bool:
    """Whether a value is a variable's name that stands for its value."""
    return isinstance(value, dg.EnvVar | IntEnvVar)


def _unless_env_var(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    return value if is_env_var(value) else handler(value)


if TYPE_CHECKING:
    Number = float
else:
    Number = _FloatSource()
"""The type of a field that holds a number, which may come from the environment."""


class _EnvVarText(str):
    """The name of a variable, shown as such."""

    def __repr__(self) -> str:
        return f"EnvVar({str(self)!r})"


class EnvironmentFields(BaseModel):
    """A resource each of whose fields may be an environment variable; a field's checks see its value alone.

    Dagster shows the docstrings of its subclasses as their descriptions.
    """

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        super().__pydantic_init_subclass__(**options)
        if cls.__dict__.get("__doc__"):
            cls.__doc__ = page_docstring(str(cls.__doc__))

    @classmethod
    def _said_elsewhere(cls, name: str) -> str | None:  # noqa: ARG003
        """Where an option is given that is no field of the resource; None if nobody has it."""
        return None

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, given: Any) -> Any:
        unknown = [name for name in given if name not in cls.model_fields] if isinstance(given, dict) else []
        if unknown:
            name = str(unknown[0])
            msg = no_option(cls.__name__, name, cls.model_fields, advice=cls._said_elsewhere(name))
            raise ValueError(msg)  # without the value, which may be a secret
        return given

    @field_validator("*", mode="wrap", check_fields=False)
    @classmethod
    def _wait_for_value(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        return _unless_env_var(value, handler)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, _EnvVarText(value.env_var_name) if is_env_var(value) else value

    def _with_updated_values(self, values: Mapping[str, Any] | None) -> Any:
        """The resource with the values that Dagster read.

        Raises ValueError for one that is not allowed; it names the field and the variable, and no value.
        """
        try:
            return super()._with_updated_values(values)  # type: ignore[misc]
        except ValidationError as e:
            named = dict(env_vars(self))
            wrong = [error for error in e.errors(include_url=False) if _named_at(error["loc"], named)]
            if not wrong:
                raise
            where = [
                f"{'.'.join(map(str, error['loc']))} (the environment variable {_named_at(error['loc'], named)}): {error['msg']}"
                for error in wrong
            ]
            msg = f"{type(self).__name__}: {'; '.join(where)}"
            raise ValueError(msg) from None  # the cause may hold the value

    def with_environment(self) -> Self:
        """The resource with its environment variables read: itself where it has none, or where a run read them.

        Raises DagsterInvalidConfigError for a variable that is not set.
        """
        if next(env_vars(self), None) is None:
            return self
        resource: Any = self
        config = post_process_config(
            resource._config_schema.config_type, resource._convert_to_config_dictionary()
        )
        if not config.success:
            what = f"Error in the environment of the {type(self).__name__}"
            raise dg.DagsterInvalidConfigError(what, config.errors, config)  # type: ignore[no-untyped-call]
        return self._with_updated_values(config.value)  # type: ignore[no-any-return]


def env_vars(resource: BaseModel) -> Iterator[tuple[Path, str]]:
    """The environment variables in the fields of a resource, each with where it stands."""
    for name in type(resource).model_fields:
        yield from _env_vars_in(getattr(resource, name), (name,))


def _env_vars_in(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, dg.EnvVar | IntEnvVar):
        yield path, value.env_var_name
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _env_vars_in(inner, (*path, name))
    elif isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            yield from _env_vars_in(inner, (*path, i))


def _named_at(loc: Path, named: Mapping[Path, str]) -> str:
    """The variables that stand at, or inside, a place, as text."""
    return ", ".join(dict.fromkeys(name for path, name in named.items() if path[: len(loc)] == loc))


def resolve_env_vars(value: Any, resource: str, error: type[Exception]) -> Any:
    """Options with each variable replaced by its value, which Dagster does for plain fields only. Raises `error`.

    In a run Dagster has made `{"env": name}` of each.
    """
    if isinstance(value, Mapping) and value.keys() == {"env"} and isinstance(value["env"], str):
        return resolve_env_vars(dg.EnvVar(value["env"]), resource, error)
    if isinstance(value, dg.EnvVar | IntEnvVar):
        try:
            found = value.get_value()
        except ValueError:
            found = None
        if found is None:
            what = "an integer" if value.env_var_name in os.environ else "set"
            msg = f"{resource}: the environment variable {value.env_var_name} is not {what}"
            raise error(msg)
        return found
    if isinstance(value, Mapping):
        return {name: resolve_env_vars(option, resource, error) for name, option in value.items()}
    if isinstance(value, list):
        return [resolve_env_vars(option, resource, error) for option in value]
    return value
