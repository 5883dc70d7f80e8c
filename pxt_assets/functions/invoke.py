"""`invoke_tools`: runs, in this process, the tools that a model's answer calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

from pxt_assets.errors import CellError, DefinitionError
from pxt_assets.expressions.expr import Call, Expr
from pxt_assets.expressions.function import Function
from pxt_assets.local.local_call import LocalCall
from pxt_assets.local.tools import Tool, Tools
from pxt_assets.values.types import Json


def _invoke_tools(tools: Tools, response: Any) -> Any:
    """The results of the tools that a model's answer calls, `{tool name: [result, ...]}`, null for tools not called.

    Async tools run concurrently, sync ones in threads, several at once. A tool that raises, or that was called with
    wrong arguments, leaves a null in its place and is an error of its row; what the other calls gave is kept.

    Args:
        tools: what `tools(f, g)` gave.
        response: a column of answers of `chat_completions` (whose first choice counts) or of `responses`.

    Example:
        ```python
        my_tools = tools(stock_price, weather)
        tbl.add_computed_column(
            response=chat_completions(messages, model="gpt-6-luna", tools=my_tools)
        )
        tbl.add_computed_column(found=invoke_tools(my_tools, tbl.response))
        tbl.add_computed_column(price=tbl.found.stock_price[0])
        ```
    """
    raise NotImplementedError


_invoke_tools.__name__ = "invoke_tools"


class InvokeTools(Function[[Tools, Any]]):
    """The function `invoke_tools`; in a call, bound to the tools that it was given."""

    batch_size = 1

    def __init__(self, tools: Tools | None = None) -> None:
        results = {"type": "array"}
        shape = {"properties": {tool.name: results for tool in tools or ()}}
        super().__init__(_invoke_tools, returns=Json, shape=shape)
        self.local = True
        self._tools = tools
        if tools is not None:
            self.required_arguments = {
                "response"
            }  # the tools are part of the function, not an argument of a call

    @property
    def bound_tools(self) -> tuple[Tool, ...]:
        """The tools that it may run; none before it is called."""
        return tuple(self._tools or ())

    @property
    def version(self) -> str:
        """A text that changes with any of the tools."""
        return f"invoke_tools:{self._tools.version if self._tools else ''}"

    def cell_request(self, arguments: Mapping[str, Any]) -> LocalCall:
        """The call for one row."""
        return LocalCall(self, arguments)

    def _new_call(self, arguments: dict[str, Any]) -> Call:
        tools, response = arguments["tools"], arguments["response"]
        if not isinstance(tools, Tools):
            msg = f"invoke_tools: got {type(tools).__name__} as tools, allowed: what tools(f, g) gave"
            raise DefinitionError(msg)
        if not isinstance(response, Expr):
            msg = f"invoke_tools: got {type(response).__name__} as response, allowed: a column of a model's answers"
            raise DefinitionError(msg)
        return Call(InvokeTools(tools), {"response": response})

    def shared_arguments(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """All arguments, since each row is a call of its own."""
        return arguments

    async def run(self, rows: Sequence[Mapping[str, Any]], threads: Executor) -> Sequence[Any]:
        """The results of one answer's calls. Raises CellError, which holds the results of the calls that succeeded."""
        assert self._tools is not None
        (row,) = rows
        try:
            outcome = await self._tools.invoke(row["response"], threads)
        except ValueError as e:
            raise CellError("ValueError", f"invoke_tools: {e}") from e
        if outcome.errors:
            raise CellError("ToolError", "; ".join(outcome.errors), value=outcome.results)
        return [outcome.results]


invoke_tools = InvokeTools()
