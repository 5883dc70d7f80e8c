"""Turns the clock by which a simulator's files, batches and responses in the background live."""

import json
import urllib.request
from pathlib import Path

from pxt_assets.api.openai_resource import OpenAIResource
from pxt_assets.simulator.batches.storage import Storage


def turn_clock(base_url: str, seconds: float) -> None:
    """Of a simulator that runs; `base_url` is a client's."""
    body = json.dumps({"seconds": seconds}).encode()
    url = f"{base_url.removesuffix('/v1')}/simulator/clock"
    with urllib.request.urlopen(urllib.request.Request(url, body, method="POST")) as answer:
        answer.read()


def turn_clock_of_instance(storage_directory: str | Path, openai: OpenAIResource, seconds: float) -> None:
    """Of the simulator that the runs of an instance share, whether one runs at the moment or not."""
    storage = Storage(Path(storage_directory), openai._simulator_options().shown)
    storage.turn(seconds)
    storage.close()
