"""What an editor of YAML is told of a component's resources."""

from typing import Any

import jsonschema
import pytest

from pxt_assets.component.declaration import TableDeclaration


@pytest.fixture(scope="module")
def simulated() -> dict[str, Any]:
    """The schema of the field `simulated`."""
    schema = TableDeclaration.model_json_schema()
    return {**schema["properties"]["simulated"], "$defs": schema.get("$defs", {})}


@pytest.mark.parametrize(
    "declared",
    [
        None,
        {},
        {"rpm": 500, "tpm": 200_000, "latency": 0.3, "headers": False, "models": ["llama-3"]},
        {"rpm": "{{ env.RPM }}", "seed": {"env": "SEED"}},
        {"max_in_flight": 20, "rate_limits": {"omni-moderation-latest": 60}},
    ],
)
def test_options_of_the_simulator_are_in_the_schema(simulated: dict[str, Any], declared: Any) -> None:
    """With the fields of the resource that go with it, and as environment variables."""
    jsonschema.validate(declared, simulated)


@pytest.mark.parametrize("declared", [{"rpn": 500}, {"headers": 3}, {"models": 4}, {"api_key": "x"}])
def test_what_the_simulator_does_not_take_is_not(simulated: dict[str, Any], declared: Any) -> None:
    """An editor underlines it."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(declared, simulated)


def test_each_option_says_what_it_is(simulated: dict[str, Any]) -> None:
    """For the editor's tooltip."""
    (declared,) = [one for one in simulated["anyOf"] if one["type"] == "object"]
    assert all(one["description"] for one in declared["properties"].values())
