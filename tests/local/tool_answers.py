"""A model's answers that call tools, as either API gives them."""

from typing import Any


def chat_answer(*calls: tuple[str, str]) -> dict[str, Any]:
    """An answer of chat completions, as the API gives it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-6-luna",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": f"call_{i}",
                            "type": "function",
                            "function": {"name": name, "arguments": arguments},
                        }
                        for i, (name, arguments) in enumerate(calls)
                    ],
                    "refusal": None,
                },
                "finish_reason": "tool_calls",
            }
        ],
    }


def responses_answer(*calls: tuple[str, str]) -> dict[str, Any]:
    """An answer of the Responses API, as the API gives it."""
    items = [
        {
            "id": f"fc_{i}",
            "type": "function_call",
            "status": "completed",
            "name": name,
            "arguments": arguments,
            "call_id": f"call_{i}",
        }
        for i, (name, arguments) in enumerate(calls)
    ]
    return {
        "id": "resp_1",
        "object": "response",
        "output": [{"id": "rs_1", "type": "reasoning", "summary": []}, *items],
    }
