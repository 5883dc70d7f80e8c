"""A process that asks the simulator of an instance, and writes down how often it was answered."""

from pathlib import Path

import httpx2

from pxt_assets.api.embedded_simulator import EmbeddedSimulator, leave_simulator, start_simulator
from pxt_assets.simulator import SimulatorOptions

LIMITED = SimulatorOptions(rpm=30)


def answers(simulator: EmbeddedSimulator, requests: int) -> int:
    """How many of the requests are answered, the others being too many."""
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Hello"}]}
    with httpx2.Client(headers={"authorization": "Bearer simulated"}) as client:
        found = [
            client.post(f"{simulator.base_url}/chat/completions", json=body).status_code
            for _ in range(requests)
        ]
    assert set(found) <= {200, 429}
    return found.count(200)


def ask_twenty_times(folder: Path, written: Path) -> None:
    """Asks the simulator whose limits lie in a folder."""
    simulator = start_simulator(LIMITED, folder)
    written.write_text(str(answers(simulator, 20)))
    leave_simulator(simulator)
