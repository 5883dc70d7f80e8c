"""An OpenAI-compatible server on the loopback interface, with real limits and with faults on demand.

It answers `chat/completions`, `responses`, `decisions`, `embeddings`, `moderations`, `images/*`, `audio/*` and `models` in
the shapes of the API, so that a pipeline and its rate limits can be rehearsed at no cost. Everything it answers is marked: the
header `x-pxt-simulated: true`, ids that start with `sim-`, and replies in text that start with `[simulated]`.
A question that contains `[refuse]` is answered by a refusal. It imports nothing of the rest of the package.

Importing this package loads neither Starlette, nor uvicorn, nor NumPy; the names that need them are
resolved at first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pxt_assets.simulator.server.options import SimulatorOptions

if TYPE_CHECKING:
    from pxt_assets.simulator.server.app import create_app
    from pxt_assets.simulator.server.server import SimulatorServer, serve

__all__ = ["SimulatorOptions", "SimulatorServer", "create_app", "serve"]

_LAZY = {"SimulatorServer": "server.server", "create_app": "server.app", "serve": "server.server"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
