"""PgBouncer in transaction mode before a PostgreSQL server, from the distribution's binary."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import make_url

from tests.throttle.ledger.postgres import server_user


def binary() -> str | None:
    """The program, None where it is not installed."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextlib.contextmanager
def pooled(url: str) -> Iterator[str]:
    """The URL by which the database at `url` is reached through a pooler with two sessions for all clients."""
    database = make_url(url)
    program, user = binary(), server_user()
    if program is None:
        raise FileNotFoundError("no PgBouncer: install the distribution's pgbouncer package")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="pgb", dir="/tmp") as base:
        settings = Path(base) / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n{database.database} = host=127.0.0.1 port={database.port} user={database.username}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            "pool_mode = transaction\ndefault_pool_size = 2\nmax_client_conn = 100\n"
        )
        Path(base).chmod(0o755)
        process = subprocess.Popen(
            [program, "-q", settings], user=user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _wait_for(port)
            yield database.set(port=port).render_as_string(hide_password=False)
        finally:
            process.terminate()
            process.wait(10)


def _wait_for(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.05):
            return
        subprocess.run(["sleep", "0.05"], check=True)
    raise TimeoutError("PgBouncer does not start")
