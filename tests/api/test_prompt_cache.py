"""Which models take breakpoints, and which servers."""

import pytest

from pxt_assets.api.prompt_cache import has_paid_cache
from pxt_assets.api.server_name import asked_server


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        *[(model, True) for model in ("gpt-5.6", "gpt-5.6-sol", "gpt-6", "gpt-6-luna", "gpt-6.2-astra")],
        *[(model, True) for model in ("gpt-10-sol", "ft:gpt-6-luna:acme::1", "gpt-6-luna-2026-10-01")],
        *[(model, False) for model in ("gpt-5", "gpt-5.5", "gpt-5.5-pro", "gpt-5-2025-08-07", "gpt-4.1")],
        *[(model, False) for model in ("gpt-4o", "gpt-35-turbo", "gpt-3.5-turbo-0125", "o3", "chatgpt-4o")],
        *[(model, False) for model in ("gpt-oss-120b", "gpt-image-2", "my-gpt-6", "llama-6", "")],
    ],
)
def test_models_from_gpt_5_6_on_take_breakpoints(model, expected):
    """By the version in the name, with a date or fine-tuned too."""
    assert has_paid_cache(model) is expected


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        *[(url, True) for url in (None, "https://api.openai.com/v1", "https://eu.api.openai.com/v1/")],
        *[(url, True) for url in ("https://user:secret@API.OpenAI.com:443/v1",)],
        *[(url, False) for url in ("https://x.openai.azure.com/openai/v1", "https://openrouter.ai/api/v1")],
        *[(url, False) for url in ("http://127.0.0.1:8000/v1", "https://api.openai.com.example.org/v1")],
        *[
            (url, False)
            for url in ("https://gateway.example.org/api.openai.com/v1", "https://myapi.openai.com")
        ],
    ],
)
def test_the_host_decides(base_url, expected, monkeypatch):
    """OpenAI's own, in any region; no gateway, whatever its path says, and not Azure."""
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    server = asked_server(base_url, "reuse", simulated=False, azure=False)
    assert server.takes_breakpoints is expected


def test_a_simulator_takes_them():
    """It bills as OpenAI does."""
    assert asked_server(None, "reuse", simulated=True, azure=False).takes_breakpoints
