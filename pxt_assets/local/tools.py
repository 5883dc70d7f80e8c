"""Tools: Python functions that a chat model may call, their definitions for the API, and running their calls."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pxt_assets.errors import DefinitionError
from pxt_assets.local.local_call import as_json, call_function, error_message
from pxt_assets.local.signature import signature_of
from pxt_assets.local.source_text import versioned
from pxt_assets.local.strict_schema import is_strict
from pxt_assets.local.structured_schema import validation_faults
from pxt_assets.values.digest import digest
from pxt_assets.values.json_text import dumps

if TYPE_CHECKING:
    import pydantic

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MESSAGE_LENGTH = 300


@dataclass(frozen=True, eq=False)
class Tool:
    """A function that a chat model may call. Made by `tool`."""

    name: str
    function: Callable[..., Any]
    description: str | None
    """What the model is told about it, None for nothing."""
    parameters: Mapping[str, Any] = dataclasses.field(repr=False)
    """The JSON schema of its arguments."""
    function_version: str = dataclasses.field(repr=False)
    """Changes with what the function computes."""
    arguments: type[pydantic.BaseModel] = dataclasses.field(repr=False)
    """The model that validates a call's arguments. Its fields' aliases are the parameters' names."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            msg = (
                f"tool: got the name {self.name!r}, allowed: 1 to 64 of a-z, A-Z, 0-9, _ and -; give name=..."
            )
            raise DefinitionError(msg)

    @property
    def strict(self) -> bool:
        """Whether the API guarantees valid arguments. It cannot if an argument is optional."""
        return is_strict(self.parameters)

    @property
    def definition(self) -> dict[str, Any]:
        """Its definition for the API, the same in chat completions and responses."""
        description = {"description": self.description} if self.description else {}
        parameters = copy.deepcopy(dict(self.parameters))
        return {"name": self.name, **description, "parameters": parameters, "strict": self.strict}

    @property
    def version(self) -> str:
        """Changes with its definition and with what its function computes."""
        return f"{self.name}:{digest(dumps(self.definition).encode(), self.function_version.encode()).hex()}"

    async def call(self, arguments_text: str, threads: Executor | None = None) -> Any:
        """The function's result as JSON. Raises what the function raises, and ValueError for a result that is no JSON."""
        arguments = self._parse_arguments(arguments_text)
        return as_json(await call_function(self.function, arguments, threads))

    def _parse_arguments(self, text: str) -> dict[str, Any]:
        """The arguments converted by the function's hints, without those left out. Raises ValueError."""
        import pydantic

        try:
            given = self.arguments.model_validate_json(text.strip() or "{}")  # some servers send "" for none
        except pydantic.ValidationError as e:
            msg = f"the arguments do not fit: {validation_faults(e)}"
            raise ValueError(msg) from e
        fields = self.arguments.model_fields
        return {str(fields[f].alias): getattr(given, f) for f in fields if f in given.model_fields_set}


@dataclass(frozen=True)
class ToolChoice:
    """A choice of the tools that a model is to call. Made by `Tools.choice`."""

    chat: str | dict[str, Any]
    """What chat completions take as `tool_choice`."""
    responses: str | dict[str, Any]
    """What the Responses API takes as `tool_choice`."""
    parallel_tool_calls: bool
    """Whether one answer may hold several calls."""


@dataclass(frozen=True)
class ToolCall:
    """A call that a model asks for."""

    name: str
    arguments_text: str
    call_id: str | None


@dataclass(frozen=True)
class ToolResults:
    """The results and errors of an answer's tool calls."""

    results: dict[str, list[Any] | None]
    """By tool, the results in the order of its calls, None for a failed call; None for a tool that was not called."""
    errors: list[str]
    """The error messages of failed calls, in the order of the calls."""


@dataclass(frozen=True, eq=False)
class Tools:
    """Functions that a chat model may call. Made by `tools`."""

    _tools: tuple[Tool, ...]

    def __post_init__(self) -> None:
        if not self._tools:
            msg = "tools: got none; give at least one function"
            raise DefinitionError(msg)
        names = [t.name for t in self._tools]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            msg = f"tools: got several of the name {', '.join(twice)}; give each its own by tool(f, name=...)"
            raise DefinitionError(msg)

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools)

    def __len__(self) -> int:
        return len(self._tools)

    def __repr__(self) -> str:
        return f"tools({', '.join(t.name for t in self)})"

    @property
    def chat(self) -> list[dict[str, Any]]:
        """What chat completions take as `tools`."""
        return [{"type": "function", "function": t.definition} for t in self]

    @property
    def responses(self) -> list[dict[str, Any]]:
        """What the Responses API takes as `tools`."""
        return [{"type": "function", **t.definition} for t in self]

    @property
    def version(self) -> str:
        """Changes with any tool's definition, and with what its function computes."""
        return f"tools:{digest(*(t.version.encode() for t in self)).hex()}"

    def choice(
        self,
        *,
        auto: bool = False,
        required: bool = False,
        tool: str | Tool | Callable[..., Any] | None = None,
        parallel_tool_calls: bool = True,
    ) -> ToolChoice:
        """Which tools the model is to call: any or none (`auto`), at least one (`required`), or this one (`tool`).

        Raises DefinitionError unless exactly one of the three is given.
        """
        if bool(auto) + bool(required) + (tool is not None) != 1:
            msg = "choice: give exactly one of auto=True, required=True and tool=..."
            raise DefinitionError(msg)
        if tool is None:
            mode = "auto" if auto else "required"
            return ToolChoice(mode, mode, parallel_tool_calls)
        name = self._find_tool(tool).name
        chat = {"type": "function", "function": {"name": name}}
        return ToolChoice(chat, {"type": "function", "name": name}, parallel_tool_calls)

    def _find_tool(self, wanted: object) -> Tool:
        plain = getattr(wanted, "function", wanted)  # of a Tool or a udf
        found = [t for t in self if t is wanted or t.name == wanted]
        found = found or [t for t in self if t.function is plain or t.function == plain]
        if len(found) != 1:
            msg = f"choice: got tool={wanted!r}, allowed: one of {', '.join(t.name for t in self)}"
            raise DefinitionError(msg)
        return found[0]

    async def invoke(self, response: Mapping[str, Any], threads: Executor | None = None) -> ToolResults:
        """Runs all calls that an answer of either API asks for, at once. Sync functions run in `threads`.

        A call that fails adds a message to `errors` and leaves the others as they are. Raises ValueError for what is no
        answer.
        """
        by_name = {t.name: t for t in self}
        calls = calls_of(response)
        outcomes = await asyncio.gather(
            *(self._run_call(by_name.get(call.name), call, threads) for call in calls)
        )
        tool_results = ToolResults(dict.fromkeys(by_name), [])
        for call, (result, error) in zip(calls, outcomes, strict=True):
            if error is not None:
                text = f"{call.name}: {error}"
                tool_results.errors.append(
                    text if len(text) <= _MESSAGE_LENGTH else f"{text[: _MESSAGE_LENGTH - 1]}…"
                )
            if call.name in by_name:
                tool_results.results[call.name] = [*(tool_results.results[call.name] or []), result]
        return tool_results

    async def _run_call(
        self, wanted: Tool | None, call: ToolCall, threads: Executor | None
    ) -> tuple[Any, str | None]:
        """A call's result, and the message of its error if it failed."""
        if wanted is None:
            return None, f"there is no such tool, only {', '.join(t.name for t in self)}"
        try:
            return await wanted.call(call.arguments_text, threads), None
        except Exception as e:
            return None, f"{type(e).__name__}: {error_message(e)}".removesuffix(": ")


def calls_of(response: Mapping[str, Any]) -> list[ToolCall]:
    """The function calls in an answer of chat completions (its first choice) or of the Responses API.

    Raises ValueError for a value that is neither.
    """
    if not isinstance(response, Mapping) or not ("choices" in response or "output" in response):
        got = (
            f"a dict with {', '.join(response)}" if isinstance(response, Mapping) else type(response).__name__
        )
        msg = f"got {got[:100]}, allowed: an answer of chat_completions, with choices, or of responses, with output"
        raise ValueError(msg)
    if "choices" not in response:
        items = [item for item in _dicts(response["output"]) if item.get("type") == "function_call"]
        return [_tool_call(item, item.get("call_id")) for item in items]
    messages = _dicts([choice.get("message") for choice in _dicts(response["choices"])[:1]])
    items = [item for message in messages for item in _dicts(message.get("tool_calls"))]
    return [
        _tool_call(item["function"], item.get("id"))
        for item in items
        if isinstance(item.get("function"), dict)
    ]


def _dicts(values: Any) -> list[Any]:
    return [value for value in values if isinstance(value, Mapping)] if isinstance(values, list) else []


def _tool_call(function: Mapping[str, Any], call_id: str | None) -> ToolCall:
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else dumps(arguments or {})  # some servers send it parsed
    return ToolCall(str(function.get("name")), text, call_id)


def tools(*functions: Callable[..., Any] | Tool) -> Tools:
    """Functions that a chat model may call: Python functions, sync or async, `@udf`s, or `tool(...)`s of them.

    Example:
        ```python
        my_tools = tools(get_weather, tool(find, name="find_ticket"))
        response = chat_completions(messages, model="gpt-6-luna", tools=my_tools)
        ```

    Raises DefinitionError for functions whose parameters JSON cannot tell of, and for two of one name.
    """
    return Tools(tuple(tool(function) for function in functions))


def tool(
    function: Callable[..., Any] | Tool,
    *,
    name: str | None = None,
    description: str | None = None,
    version: str | None = None,
) -> Tool:
    """A function that a chat model may call, told of by its signature and docstring (Google, NumPy or reST style).

    Args:
        function: a Python function, sync or async, whose parameters all have type hints; a `@udf`, or a Tool.
        name: what the model calls it, by default the function's name.
        description: what it does, by default what its docstring says before its sections.
        version: as that of `udf`: results are kept while it and the function's source stay the same.

    Example:
        ```python
        def get_weather(city: str, unit: Literal["C", "F"]) -> str:
            \"\"\"The current weather.

            Args:
                city: the city's English name.
                unit: of the temperature.
            \"\"\"
            return weather_service.now(city, unit)

        my_tools = tools(tool(get_weather, name="weather"))
        ```

    Raises DefinitionError for functions whose parameters JSON cannot tell of, and for those that depend on what cannot be
    told by its contents.
    """
    if isinstance(function, Tool):
        if version is not None:
            function = dataclasses.replace(
                function, function_version=versioned(function.function, version).text
            )
        return dataclasses.replace(
            function,
            name=name or function.name,
            description=function.description if description is None else description,
        )
    given: Any = function
    plain = getattr(given, "function", given)  # of a udf
    if not inspect.isroutine(plain):
        msg = f"tool: got {function!r}, allowed: a Python function, sync or async, or a @udf"
        raise DefinitionError(msg)
    is_udf = plain is not given
    fixed = getattr(given, "_fixed", None)
    if fixed:
        msg = f"tool: got {given!r} with {', '.join(fixed)} fixed by using(...), which no model could be held to; write a function that calls it"
        raise DefinitionError(msg)
    name = name or str(given.name if is_udf else plain.__name__)
    signature = signature_of(plain, f"tool {name}")
    return Tool(
        name=name,
        function=plain,
        description=signature.description if description is None else description,
        parameters=signature.schema,
        function_version=given.version
        if is_udf and version is None
        else versioned(plain, version, who=f"tool {name}").text,
        arguments=signature.arguments,
    )
