"""What YAML in these tests names by import path."""

import pydantic

from pxt_assets import tool, tools, udf
from pxt_assets.functions import embeddings


class Ticket(pydantic.BaseModel):
    topic: str


def order_status(order: int) -> str:
    """The status of an order."""
    return f"order {order} is on its way"


def refund(order: int) -> str:
    """Pays an order back."""
    return f"order {order} is paid back"


@udf
def words(text: str) -> int:
    return len(text.split())


both = tools(order_status, tool(refund, name="pay_back"))
embed = embeddings.using(model="text-embedding-3-small")
