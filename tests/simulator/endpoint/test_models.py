"""Which models the simulator serves, and what it says of others."""

import pytest

from pxt_assets.simulator import SimulatorOptions
from pxt_assets.simulator.endpoint.models import is_served_at, suggestion
from tests.simulator.conftest import InProcess


@pytest.mark.parametrize(
    ("endpoint", "model"),
    [
        ("chat/completions", "gpt-6-luna"),
        ("chat/completions", "gpt-4o-mini-2024-07-18"),
        ("chat/completions", "gpt-3.5-turbo-0125"),
        ("chat/completions", "chatgpt-4o-latest"),
        ("responses", "o4-mini"),
        ("responses", "ft:gpt-4o-mini-2024-07-18:acme::abc123"),
        ("decisions", "gpt-6-luna"),
        ("decisions", "gpt-6-luna-2026-10-01"),
        ("embeddings", "text-embedding-3-small"),
        ("moderations", "omni-moderation-latest"),
        ("images/generations", "gpt-image-1"),
        ("audio/speech", "tts-1-hd"),
        ("audio/translations", "whisper-1"),
    ],
)
def test_models_of_the_api_are_served(endpoint: str, model: str) -> None:
    """Those that are listed, those that only have a price, dated snapshots, and fine-tuned ones."""
    assert is_served_at(endpoint, model)


@pytest.mark.parametrize(
    ("endpoint", "model", "meant"),
    [
        ("chat/completions", "gpt-6-lunna", "gpt-6-luna"),
        ("chat/completions", "gpt6-luna", "gpt-6-luna"),
        ("chat/completions", "GPT-6-Luna", "gpt-6-luna"),
        ("chat/completions", "gpt-6-luna ", "gpt-6-luna"),
        ("chat/completions", "gpt-6-lunna-2026-01-01", "gpt-6-luna-2026-01-01"),
        ("responses", "gpt-4o-mni", "gpt-4o-mini"),
        ("chat/completions", "gpt-4o-mini-2024-07-81", "gpt-4o-mini-2024-07-18"),
        ("chat/completions", "ft:gpt-4o-mni:acme::1", "ft:gpt-4o-mini:acme::1"),
        ("embeddings", "text-embeding-3-small", "text-embedding-3-small"),
        ("moderations", "omni-moderation-lates", "omni-moderation-latest"),
        ("images/edits", "gpt-image-2.6-sunbrust", "gpt-image-2.6-sunburst"),
        ("audio/speech", "tts-2", "tts-1"),
        ("audio/transcriptions", "whisper1", "whisper-1"),
    ],
)
def test_a_misspelt_model_is_told_what_was_meant(endpoint: str, model: str, meant: str) -> None:
    """Of the models of that endpoint the one that its name is nearest to."""
    assert not is_served_at(endpoint, model)
    assert suggestion(endpoint, model) == f"did you mean {meant}?"


@pytest.mark.parametrize("model", ["gpt-unheard-of", "llama-3", "o9", "gpt-4o-mini-2024-13-45x"])
def test_what_is_near_to_no_model_is_refused_without_a_guess(model: str) -> None:
    """As the API refuses it; a wrong guess would mislead."""
    assert not is_served_at("chat/completions", model)
    assert suggestion("embeddings", model) == ""


def test_a_model_of_another_endpoint_is_told_where_it_is_served() -> None:
    """It is not misspelt."""
    said = suggestion("embeddings", "gpt-4o")
    assert said == "it is served at chat/completions, responses, not at embeddings"


def test_the_refusal_is_that_of_the_api_with_a_guess(simulator: InProcess) -> None:
    """404 `model_not_found`, and how a model that the simulator does not know is named."""
    response = simulator.chat(model="gpt-6-lunna")
    assert response.status_code == 404
    error = response.json()["error"]
    assert error["code"] == "model_not_found"
    assert error["message"].startswith(
        "The model `gpt-6-lunna` does not exist or you do not have access to it; did you mean gpt-6-luna?"
    )
    assert "`models`" in error["message"]


@pytest.mark.parametrize(
    ("endpoint", "model", "meant"),
    [("images/generations", "gpt-imag-2", "gpt-image-2"), ("images/generations", "dalle-3", "dall-e-3")],
)
def test_images_are_guessed_as_well(simulator: InProcess, endpoint: str, model: str, meant: str) -> None:
    """404 here, too."""
    response = simulator.post(f"/v1/{endpoint}", {"model": model, "prompt": "x"})
    assert response.status_code == 404
    assert f"did you mean {meant}?" in response.json()["error"]["message"]


def test_models_of_other_servers_can_be_named(simulate) -> None:
    """They are served at every endpoint, listed, and guessed; others are still refused."""
    simulator = simulate(models=["llama-3", "nomic-embed-text"])
    assert simulator.chat(model="llama-3").status_code == 200
    assert simulator.embed("x", model="nomic-embed-text").status_code == 200
    assert simulator.post("/v1/responses", {"model": "llama-3", "input": "x"}).status_code == 200
    assert simulator.post("/v1/images/generations", {"model": "llama-3", "prompt": "x"}).status_code == 200
    assert simulator.get("/v1/models/llama-3").json()["id"] == "llama-3"
    assert "did you mean llama-3?" in simulator.chat(model="llama3").json()["error"]["message"]
    assert simulator.chat(model="mistral").status_code == 404


@pytest.mark.parametrize("wrong", ["llama-3", [""], [3], ["a\x1fb"]])
def test_names_of_models_are_checked(wrong) -> None:
    """A single text would be taken for a list of letters."""
    with pytest.raises(ValueError, match="models must be a list of names"):
        SimulatorOptions(models=wrong)


def test_options_are_shown_by_what_differs_from_the_defaults() -> None:
    """Equal options have one text, however their numbers were written."""
    assert SimulatorOptions().shown == ""
    assert (
        SimulatorOptions(rpm=500.0, models=["a", "b"], headers=False).shown
        == "rpm=500 headers=False models=a,b"
    )
    assert SimulatorOptions(rpm=500).shown == SimulatorOptions(rpm=500.0).shown
    assert SimulatorOptions(latency=0.25).shown == "latency=0.25"
