"""Plain functions that are tools, and what a decorator makes of one."""

import datetime
from typing import Any, Literal

from pydantic import BaseModel


class Place(BaseModel):
    city: str


def get_weather(city: str, unit: Literal["C", "F"]) -> str:
    """The current weather.

    Args:
        city: its English name.
        unit: of the temperature.
    """
    return f"20 {unit} in {city}"


async def get_time(zone: str = "UTC") -> dict[str, Any]:
    return {"zone": zone, "at": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)}


def fail(message: str) -> str:
    raise ValueError(message)


class UserFunction:
    """What a decorator makes of a function."""

    name = "weather"
    version = "v1"

    def __init__(self, function: Any) -> None:
        self.function = function
