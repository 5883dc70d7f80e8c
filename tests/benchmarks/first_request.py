"""What a fresh process costs until a step does its first work: CPU (user and system) from the start of the process.

    python tests/benchmarks/first_request.py [--processes 7] [--multiprocess]

Two steps, each in processes of its own, in turns:

- chat: a computed column of `chat_completions`. It imports `from pxt_assets import ColumnStore, OpenAIResource, Table`
  and `from pxt_assets.functions import chat_completions`, as a user's module does, and is measured when its first
  request arrives at a server in another process.
- plain: a Dagster asset without this package. It imports `dagster` and `pyarrow`, and is measured at the first line of
  its body, which says so to the same server.

Both have an upstream table of one Parquet file, which an earlier process stored: ours in a `ColumnStore`, the plain one's
in an IO manager of 10 lines that reads and writes Parquet with pyarrow. So both have their rows when they are measured.
Both are materialized by `dg.materialize`; with `--multiprocess` by a job of a stored instance, whose executor starts the
step in a process of its own, and that process alone is measured. All modules are compiled before, as those of installed
packages are.
"""

import argparse
import compileall
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import pxt_assets

STEPS = ("chat", "plain")
ANSWER = (
    b'{"id":"c","object":"chat.completion","model":"gpt-6-luna","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"fine"}}],"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}}'
)
PLAIN = """
import os, socket
from pathlib import Path
import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
Path(os.environ["PID_FILE"]).write_text(str(os.getpid()))

class ParquetFiles(dg.ConfigurableIOManager):
    folder: str

    def handle_output(self, context, table):
        pq.write_table(table, f"{self.folder}/{context.asset_key.path[-1]}.parquet")

    def load_input(self, context):
        return pq.read_table(f"{self.folder}/{context.asset_key.path[-1]}.parquet")

@dg.asset(io_manager_key="columns")
def tickets() -> pa.Table:
    return pa.table({"id": [1], "body": ["It rains."]})

@dg.asset(io_manager_key="columns")
def first(tickets: pa.Table) -> pa.Table:
    with socket.create_connection(("127.0.0.1", int(os.environ["PORT"]))) as connection:
        connection.sendall(b"POST here\\r\\n\\r\\n")
        connection.recv(4096)
    return tickets.append_column("answer", tickets["body"])

assets = [tickets, first]
resources = {"columns": ParquetFiles(folder=os.environ["FOLDER"])}
"""
CHAT = """
import os
from pathlib import Path
import dagster as dg
import pyarrow as pa
from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.functions import chat_completions
Path(os.environ["PID_FILE"]).write_text(str(os.getpid()))

@dg.asset(io_manager_key="columns")
def tickets() -> pa.Table:
    return pa.table({"id": [1], "body": ["It rains."]})

tbl = Table(tickets, key="id")
first = tbl.add_computed_column(
    first=chat_completions([{"role": "user", "content": tbl.body}], model="gpt-6-luna"))

assets = [tickets, *tbl.assets]
resources = {
    "openai": OpenAIResource(api_key="-", base_url=f"http://127.0.0.1:{os.environ['PORT']}/v1"),
    "columns": ColumnStore(base_path=os.environ["FOLDER"]),
}
"""
MATERIALIZE = """
if __name__ == "__main__":
    dg.materialize(assets, selection=[ASSET], resources=resources, raise_on_error=True)
"""
JOB = """
defs = dg.Definitions(assets=assets, resources=resources, jobs=[
    dg.define_asset_job("job", selection=[first], executor_def=dg.multiprocess_executor)])

def job():
    return defs.resolve_job_def("job")

if __name__ == "__main__":
    import step
    with dg.DagsterInstance.local_temp(os.environ["FOLDER"]) as instance:
        assert dg.execute_job(dg.reconstructable(step.job), instance=instance).success
"""


def cpu_seconds(pid: int) -> float:
    """What a process that runs has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(step: str, *, multiprocess: bool) -> float:
    """CPU seconds of the step's process until its first work."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(120)
        source = PLAIN if step == "plain" else CHAT
        program = Path(folder, "step.py")
        environment = {
            name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
        } | {
            "PORT": str(server.getsockname()[1]),
            "FOLDER": folder,
            "PID_FILE": f"{folder}/pid",
            "DAGSTER_DISABLE_TELEMETRY": "1",
        }

        def start(asset: str, *, as_job: bool) -> subprocess.Popen[bytes]:
            program.write_text(source + (JOB if as_job else MATERIALIZE.replace("ASSET", asset)))
            return subprocess.Popen(
                [sys.executable, program], cwd=folder, env=environment, stderr=subprocess.PIPE
            )

        before = start("tickets", as_job=False)
        before.communicate()
        process = start("first", as_job=multiprocess)
        try:
            connection, _ = server.accept()
            with connection:
                received = b""
                while b"\r\n\r\n" not in received:
                    received += connection.recv(65536)
                seconds = cpu_seconds(int(Path(folder, "pid").read_text()))
                head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(ANSWER)}\r\n\r\n"
                connection.sendall(head.encode() + ANSWER)
                _, errors = process.communicate(timeout=120)
        finally:
            process.kill()
        assert process.returncode == 0, errors.decode()
        return seconds


def main() -> None:
    """Prints the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=7, help="of each step")
    parser.add_argument("--multiprocess", action="store_true")
    options = parser.parse_args()
    compileall.compile_dir(Path(pxt_assets.__file__).parent, quiet=1)
    seconds: dict[str, list[float]] = {step: [] for step in STEPS}
    for _ in range(options.processes):
        for step in STEPS:
            seconds[step].append(measured(step, multiprocess=options.multiprocess))
    medians = {step: statistics.median(found) for step, found in seconds.items()}
    for step in STEPS:
        print(
            f"{step:>5}: {medians[step]:.2f} s of CPU ({min(seconds[step]):.2f} to {max(seconds[step]):.2f})"
        )
    print(f"chat is {medians['chat'] / medians['plain']:.2f} x plain")


if __name__ == "__main__":
    main()
