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


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a database of its own. Raises FileNotFoundError where there are no binaries."""
    folder = binaries()
    if folder is None:
        raise FileNotFoundError("no PostgreSQL: install the distribution's postgresql package")
    user = server_user()
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as base:  # a socket's path is short
        data = Path(base) / "data"
        if user is not None:
            shutil.chown(base, user)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = (
            f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={base} -c fsync=off"
        )

        def run(program: str, *arguments: str) -> None:
            subprocess.run(
                [folder / program, "-D", data, *arguments],
                check=True,
                user=user,
                cwd=base,
                stdout=subprocess.DEVNULL,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            )

        run("initdb", "--username=pxt", "--auth=trust", "--encoding=UTF8", "--no-sync")
        run("pg_ctl", "start", "--wait", "--log", str(Path(base) / "log"), "--options", settings)
        try:
            yield f"postgresql://pxt@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "stop", "--wait", "--mode=immediate")
