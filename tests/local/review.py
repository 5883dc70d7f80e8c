"""A form of answers that is a model of pydantic."""

import datetime
from typing import Literal

from pydantic import BaseModel


class Review(BaseModel):
    """What a customer says."""

    sentiment: Literal["good", "bad"]
    stars: int
    written: datetime.date | None = None
