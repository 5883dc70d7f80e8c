"""Dagster's daemon, which looks for backfills every second or two; as it is, every thirty."""

import sys

from dagster._daemon import controller
from dagster._daemon.cli import create_dagster_daemon_cli

if __name__ == "__main__":
    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 2
    sys.exit(create_dagster_daemon_cli()())
