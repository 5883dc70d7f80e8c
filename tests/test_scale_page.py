"""The page about scale: its table is computed, and the files that it shows are what they say."""

import re

import dagster as dg
import pytest
import yaml
from dagster._config import validate_config
from dagster._core.instance.config import dagster_instance_config_schema

from tests.benchmarks.large_job import HEAD, table
from tests.pages import DOCS

PAGE = DOCS / "scale.md"


def files(ending: str) -> dict[str, str]:
    """The files that its commands write, by name, of those whose text ends with a word."""
    found = re.findall(rf"^cat > (\S+) <<'{ending}'\n(.*?)^{ending}$", PAGE.read_text(), re.M | re.S)
    return {name.strip('"').rpartition("/")[2]: text for name, text in found}


def test_the_table_of_a_large_job_is_what_the_price_table_says() -> None:
    """It is computed, not typed; where prices change, the page is to be written anew by the benchmark's output."""
    text = PAGE.read_text()
    assert HEAD in text
    assert "\n".join(table()) in text


@pytest.mark.parametrize("engine", ["YAML", "RAY"], ids=["celery", "ray"])
def test_the_instances_configurations_are_some(engine: str) -> None:
    """Dagster takes all of their keys."""
    config = yaml.safe_load(files(engine)["dagster.yaml"])
    schema = dagster_instance_config_schema()
    checked = validate_config(dg.Shape(schema), config)
    assert checked.success, checked.errors


def test_workers_and_launcher_have_one_broker() -> None:
    shown = {name: yaml.safe_load(text) for name, text in files("YAML").items()}
    assert shown["celery.yaml"]["execution"]["config"] == shown["dagster.yaml"]["run_launcher"]["config"]
