"""The simulators that run in this process, and the resources that use them: one of each kind, ended by its last user."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from pxt_assets.api.environment import is_env_var, resolve_env_vars
from pxt_assets.errors import RunError
from pxt_assets.simulator import SimulatorOptions

if TYPE_CHECKING:
    from pathlib import Path

    from pxt_assets.simulator import SimulatorServer

ACCOUNT = "simulator"
"""Begins the names of simulators' accounts; those of the API are hexadecimal digits."""
_LABEL = "simulator of the OpenAIResource"
_log = logging.getLogger("pxt_assets")
_lock = threading.Lock()


@dataclass(frozen=True)
class _Kind:
    process: int
    """A forked process has not the threads of the one it comes from."""
    options: SimulatorOptions
    folder: Path | None


@dataclass(eq=False)
class EmbeddedSimulator:
    """A simulator that runs in this process."""

    kind: _Kind
    server: SimulatorServer
    users: int = 1

    @property
    def base_url(self) -> str:
        """Where it answers."""
        return self.server.base_url

    @property
    def account(self) -> str:
        """The name of the account whose limits it keeps: what names its state, and its options."""
        state = (
            self.server.shared_id
            or f"{self.kind.process}:{self.base_url.rpartition(':')[2].partition('/')[0]}"
        )
        return f"{ACCOUNT} {state} {self.kind.options.shown}".strip()

    def is_here(self) -> bool:
        """Whether it can be asked: it shares its limits with nobody, or this process is the one that started it.

        A forked process asks the simulator of the one it comes from only where it would not share its limits otherwise.
        """
        return self.kind.folder is None or self.kind.process == os.getpid()


_running: dict[_Kind, EmbeddedSimulator] = {}


def start_simulator(options: SimulatorOptions, folder: Path | None) -> EmbeddedSimulator:
    """The simulator of these options, started if it does not run in this process.

    Those of other processes with the same `folder` share its limits. `leave_simulator` must follow.
    """
    from pxt_assets.simulator import SimulatorServer

    kind = _Kind(os.getpid(), options, _usable(folder))
    with _lock:
        found = _running.get(kind)
        if found is not None:
            found.users += 1
            return found
        server = SimulatorServer(options, shared_folder=kind.folder).start()
        found = _running[kind] = EmbeddedSimulator(kind, server)
        return found


def leave_simulator(simulator: EmbeddedSimulator) -> None:
    """Ends a simulator, unless others in this process use it."""
    with _lock:
        simulator.users -= 1
        if simulator.users or simulator.kind.process != os.getpid():
            return
        del _running[simulator.kind]
    simulator.server.stop()


def option_names() -> tuple[str, ...]:
    """The names of a simulator's options."""
    return tuple(one.name for one in fields(SimulatorOptions))


def checked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """What differs from the defaults in options, some of which may be environment variables; raises ValueError."""
    known = {
        name: getattr(SimulatorOptions, name, value) if is_env_var(value) else value
        for name, value in options.items()
    }
    checked = SimulatorOptions(**known)
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in options.items()
        if is_env_var(value) or getattr(checked, name) != getattr(SimulatorOptions, name)
    }


def read_options(given: Mapping[str, Any] | None) -> SimulatorOptions:
    """Options with environment variables read. Raises RunError for one that is not set, or is wrong."""
    options = dict(given or {})
    read = []
    for name, value in resolve_env_vars(options, _LABEL, RunError).items():
        if is_env_var(options[name]) or value != options[name]:
            read.append(name)
            options[name] = value
            with contextlib.suppress(TypeError, ValueError):  # what is no number is refused below
                options[name] = json.loads(value)
    try:
        return SimulatorOptions(**options)
    except ValueError as e:
        if read:  # what the environment holds is not shown
            msg = f"{_LABEL}: what the environment holds for {', '.join(read)} is not allowed"
            raise RunError(msg) from None
        msg = f"{_LABEL}: {e}"
        raise RunError(msg) from e


def _usable(folder: Path | None) -> Path | None:
    """A folder that is there; None where none can be."""
    if folder is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        _log.warning("The simulator is not shared with other processes: %s", e)
        return None
    return folder.resolve()
