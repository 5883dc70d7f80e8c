"""Two tools, calls that ask for them, and a server that answers with calls of them."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Literal

from pxt_assets import Table, tools
from pxt_assets.functions import chat_completions, responses
from tests.scripted_server import Asked, Reply

Call = tuple[str, Any]
Calls = dict[str, list[Call]]
NO_CITY = {"Atlantis"}
CALLED: list[str] = []


def get_weather(city: str, unit: Literal["C", "F"] = "C") -> str:
    """The current weather."""
    CALLED.append(city)
    if city in NO_CITY:
        msg = f"no city {city}"
        raise ValueError(msg)
    return f"20 {unit} in {city}"


async def get_time(zone: str) -> dict[str, str]:
    """The current time."""
    await asyncio.sleep(0)
    return {"zone": zone}


TOOLS = tools(get_weather, get_time)


def calling(calls: Calls) -> Callable[[Asked], Reply]:
    """A server's script that answers a text with these calls, either API as it does."""

    def text_of(arguments: Any) -> str:
        return arguments if isinstance(arguments, str) else json.dumps(arguments)

    def script(asked: Asked) -> Reply:
        if asked.path.endswith("/responses"):
            items = [
                {
                    "type": "function_call",
                    "call_id": f"call_{i}",
                    "name": name,
                    "arguments": text_of(arguments),
                }
                for i, (name, arguments) in enumerate(calls.get(asked.text, []))
            ]
            return Reply({"id": "resp_1", "model": "m", "status": "completed", "output": items})
        items = [
            {
                "id": f"call_{i}",
                "type": "function",
                "function": {"name": name, "arguments": text_of(arguments)},
            }
            for i, (name, arguments) in enumerate(calls.get(asked.text, []))
        ]
        message = (
            {"role": "assistant", "content": None, "tool_calls": items} if items else {"content": "no calls"}
        )
        return Reply({"id": "c", "model": "m", "choices": [{"index": 0, "message": message}]})

    return script


def asks(api: str, table: Table, given: Any = TOOLS) -> Any:
    if api == "responses":
        return responses(table.body, model="m", tools=given)
    return chat_completions([{"role": "user", "content": table.body}], model="m", tools=given)
