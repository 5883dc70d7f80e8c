"""A PostgreSQL server on loopback, from the distribution's binaries, in a temporary directory."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path


def binaries() -> Path | None:
    """The folder of the server's binaries, or None where there are none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def server_user() -> str | None:
    """Whom to run the server as: it refuses to run as root."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


class Postgres:
    """A server that was started."""

    def __init__(self, folder: Path, base: str, user: str | None, port: int) -> None:
        self.url = f"postgresql://pxt@127.0.0.1:{port}/postgres"
        self._folder = folder
        self._base = base
        self._user = user
        self._settings = (
            f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={base} -c fsync=off"
        )

    def run(self, program: str, *arguments: str) -> None:
        """One of the distribution's programs, on the server's data."""
        subprocess.run(
            [self._folder / program, "-D", Path(self._base) / "data", *arguments],
            check=True,
            user=self._user,
            cwd=self._base,
            stdout=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        )

    def start(self) -> None:
        """Serves when it returns."""
        log = str(Path(self._base) / "log")
        self.run("pg_ctl", "start", "--wait", "--log", log, "--options", self._settings)

    def restart(self) -> None:
        """Breaks off what its clients do, as when its machine is restarted, and serves again when it returns."""
        self.run("pg_ctl", "stop", "--wait", "--mode=fast")
        self.start()


@contextlib.contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A server with a database of its own. Raises FileNotFoundError where there are no binaries."""
    folder = binaries()
    if folder is None:
        raise FileNotFoundError("no PostgreSQL: install the distribution's postgresql package")
    user = server_user()
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as base:  # a socket's path is short
        if user is not None:
            shutil.chown(base, user)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = Postgres(folder, base, user, port)
        server.run("initdb", "--username=pxt", "--auth=trust", "--encoding=UTF8", "--no-sync")
        server.start()
        try:
            yield server
        finally:
            server.run("pg_ctl", "stop", "--wait", "--mode=immediate")


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a database of its own. Raises FileNotFoundError where there are no binaries."""
    with running_postgres() as server:
        yield server.url
