import hashlib
import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxt_assets.api.request import Request, Usage, pack
from pxt_assets.functions import chat_completions, decisions, embeddings, moderations
from pxt_assets.values.digest import DIGEST_BYTES, digest, simulated_digest

FUNCTIONS = {f.name: f for f in (chat_completions, decisions, embeddings, moderations)}

HELLO = [{"role": "user", "content": "Hello"}]
QUESTION: dict[str, Any] = {
    "type": "choice",
    "name": "topic",
    "instructions": "?",
    "choices": [{"value": "a", "description": "b"}, {"value": True}],
}
FROZEN: dict[str, tuple[str, dict[str, Any], str]] = {
    "chat": (
        "chat_completions",
        {"messages": HELLO, "model": "gpt-4o-mini"},
        "9b623916853694abccbc89e9ab8dc562",
    ),
    "chat, another model": (
        "chat_completions",
        {"messages": HELLO, "model": "gpt-4o"},
        "de4b497d95210c006541fd0cc78b2862",
    ),
    "chat, unicode and emoji": (
        "chat_completions",
        {
            "messages": [{"role": "user", "content": 'Grüße, 世界 👩‍👩‍👧 \u2028 "q" \\ \n'}],
            "model": "gpt-4o-mini",
        },
        "917fbe0bae9b02b35b51cae5a4aa47d6",
    ),
    "chat, composed é": (
        "chat_completions",
        {"messages": [{"role": "user", "content": "\u00e9"}], "model": "gpt-4o-mini"},
        "58c62db2a70ec46fc586ba0000b0c0e0",
    ),
    "chat, decomposed é": (
        "chat_completions",
        {"messages": [{"role": "user", "content": "e\u0301"}], "model": "gpt-4o-mini"},
        "df0a750915fa501222de097a1e7a7e1f",
    ),
    "chat, integer": (
        "chat_completions",
        {"messages": HELLO, "model": "m", "temperature": 1},
        "60dcca1cd8ffde8c69b807c3453846b5",
    ),
    "chat, float": (
        "chat_completions",
        {"messages": HELLO, "model": "m", "temperature": 1.0},
        "44f0f2e0711700c65c6e61a8c483dc6c",
    ),
    "chat, true": (
        "chat_completions",
        {"messages": HELLO, "model": "m", "temperature": True},
        "b5f7f7848c7401c46193d0d14cb073ab",
    ),
    "chat, small float": (
        "chat_completions",
        {"messages": HELLO, "model": "m", "temperature": 1e-7},
        "0a5856f04c10a72e5796ee1a6dbf6bae",
    ),
    "chat, 0.1 + 0.2": (
        "chat_completions",
        {"messages": HELLO, "model": "m", "top_p": 0.1 + 0.2},
        "afeb78cb1dc3a1c3d87a0b325a0ed875",
    ),
    "chat, large integer": (
        "chat_completions",
        {"messages": HELLO, "model": "m", "seed": 2**63},
        "6d1da9f74bbe740e52e0f29635f2b911",
    ),
    "chat, nested dicts": (
        "chat_completions",
        {
            "messages": HELLO,
            "model": "m",
            "model_kwargs": {
                "response_format": {"type": "json_schema", "json_schema": {"b": [1, None], "a": {}}}
            },
        },
        "c6f1896f35e27dee4aa7875b58f976cc",
    ),
    "chat, tools": (
        "chat_completions",
        {
            "messages": [{"role": "assistant", "content": None, "tool_calls": []}],
            "model": "m",
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
            "tool_choice": "auto",
        },
        "c66f13be202ac1795e42436e2f62b17b",
    ),
    "decisions": (
        "decisions",
        {"input": "Hello", "model": "gpt-6-luna", "questions": [QUESTION]},
        "e59630ffb7972b25f896d69176db6ca7",
    ),
    "decisions, another order": (
        "decisions",
        {
            "input": "Hello",
            "model": "gpt-6-luna",
            "questions": [{**QUESTION, "choices": QUESTION["choices"][::-1]}],
        },
        "1db4c5eb7d7bba5228a678812baa898d",
    ),
    "embeddings": (
        "embeddings",
        {"input": "Hello", "model": "text-embedding-3-small"},
        "e92e0c29c59c6886df37759d95c6b698",
    ),
    "embeddings, dimensions": (
        "embeddings",
        {"input": "Hello", "model": "text-embedding-3-small", "dimensions": 256},
        "378be6ca170a88639dc29c0db29f929a",
    ),
    "moderations": ("moderations", {"input": "Hello"}, "22cdf0e70734729c4178981d1ac34967"),
    "moderations, another model": (
        "moderations",
        {"input": "Hello", "model": "text-moderation-latest"},
        "c72bda0f65eb0f190d2207d43da1d1ec",
    ),
}
"""Requests and the digests under which their answers are stored. They may never change: what was paid for is found
again by them, whichever release, process or machine asks."""


def request(function: str, arguments: dict[str, Any]) -> Request:
    return FUNCTIONS[function].cell_request(arguments)


def chat(**arguments: Any) -> bytes:
    return request("chat_completions", {"messages": HELLO, "model": "m", **arguments}).digest


class TestDigest:
    @pytest.mark.parametrize(("function", "arguments", "frozen"), FROZEN.values(), ids=FROZEN)
    def test_digests_are_frozen(self, function, arguments, frozen):
        """A request's digest is the same for ever."""
        assert request(function, arguments).digest.hex() == frozen

    def test_different_requests_have_different_digests(self):
        """Endpoint, model, arguments, and int versus float count."""
        assert len({frozen for _, _, frozen in FROZEN.values()}) == len(FROZEN)

    def test_it_is_made_of_endpoint_and_canonical_json(self):
        """BLAKE2b over the path and the body, each preceded by its length: nothing else plays a part."""
        body = '{"messages":[{"content":"Hello","role":"user"}],"model":"gpt-4o-mini"}'
        named = hashlib.blake2b(f"17:/chat/completions{len(body)}:{body}".encode(), digest_size=16)
        assert FROZEN["chat"][2] == named.hexdigest()

    def test_it_has_128_bits(self):
        """16 bytes name a cell."""
        assert len(chat()) == DIGEST_BYTES == 16

    def test_another_process_computes_the_same(self):
        """Python's hash seed plays no part."""
        program = (
            "from tests.api.test_request import FROZEN, request\n"
            "for function, arguments, _ in FROZEN.values():\n"
            "    print(request(function, arguments).digest.hex())"
        )
        result = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": "12345"},
            capture_output=True,
            check=True,
            text=True,
        )
        assert result.stdout.split() == [frozen for _, _, frozen in FROZEN.values()]

    def test_model_kwargs_and_keywords_are_the_same(self):
        """An argument of the API counts the same wherever it was given."""
        assert chat(model_kwargs={"temperature": 0.5, "seed": 1}) == chat(temperature=0.5, seed=1)
        assert chat(model_kwargs={"temperature": 0.5}, seed=1) == chat(temperature=0.5, seed=1)

    def test_null_arguments_are_as_if_left_out(self):
        """A null optional argument is not sent, and not named."""
        assert chat(tools=None, tool_choice=None, model_kwargs=None, temperature=None) == chat()
        assert chat(model_kwargs={}) == chat(model_kwargs={"temperature": None}) == chat()

    def test_a_default_is_as_if_given(self):
        """The documented default model is part of what names an answer."""
        one, given, null = (
            request("moderations", {"input": "x", **model})
            for model in ({}, {"model": "omni-moderation-latest"}, {"model": None})
        )
        assert one.digest == given.digest == null.digest
        assert null.model == "omni-moderation-latest"

    def test_the_endpoint_counts(self):
        """Equal bodies to other endpoints are other requests."""
        texts = {"input": "x", "model": "m"}
        assert request("embeddings", texts).payload == request("moderations", texts).payload
        assert request("embeddings", texts).digest != request("moderations", texts).digest

    def test_tuples_are_lists(self):
        """JSON knows no tuples."""
        assert chat(stop=("a", "b")) == chat(stop=["a", "b"])

    def test_how_vectors_travel_does_not_count(self):
        """`encoding_format` changes the transport, not the vector."""
        plain = request("embeddings", {"input": "x", "model": "m"})
        assert (
            request("embeddings", {"input": "x", "model": "m", "encoding_format": "float"}).digest
            == plain.digest
        )

    @given(
        st.dictionaries(
            st.text(max_size=5), st.integers() | st.dictionaries(st.text(max_size=3), st.none()), max_size=6
        ),
        st.randoms(),
    )
    def test_the_order_of_keys_does_not_count(self, fields, random):
        """A dict names the same request in whatever order it was built."""
        shuffled = list(fields.items())
        random.shuffle(shuffled)
        assert chat(metadata=dict(shuffled)) == chat(metadata=fields)

    @pytest.mark.parametrize("argument", ["response_format", "tools"])
    def test_the_order_of_keys_counts_in_schemas(self, argument):
        """A model fills in a schema's properties in their order, so another order is another request."""
        schemas = [
            {"properties": {key: {} for key in names}} for names in (["why", "answer"], ["answer", "why"])
        ]
        assert chat(**{argument: [schemas[0]]}) != chat(**{argument: [schemas[1]]})

    def test_what_is_sent_keeps_the_order_of_keys(self):
        """The body is sent as it was written."""
        sent = request("chat_completions", {"messages": HELLO, "model": "m", "metadata": {"b": 1, "a": 2}})
        assert b'{"b":1,"a":2}' in sent.payload

    def test_parts_are_told_apart(self):
        """Text does not move from one part to the next."""
        assert digest(b"ab", b"c") != digest(b"a", b"bc") != digest(b"abc")
        assert digest(b"1:a") != digest(b"1", b"a")

    def test_a_simulators_answer_has_a_name_of_its_own(self):
        """What was rehearsed is never found as a result, and its name is frozen too."""
        real = bytes(range(16))
        assert simulated_digest(real) != real
        assert simulated_digest(real).hex() == "4ca71feb84497e1db75a5db4a2284c4a"


class TestPacking:
    def test_requests_that_differ_in_input_alone_travel_together(self):
        """Model and arguments have to be equal."""
        one, same, other = (
            request("embeddings", {"input": text, "model": "m", "dimensions": dim})
            for text, dim in (("a", 8), ("b", 8), ("a", 9))
        )
        assert one.pack_key == same.pack_key != other.pack_key

    def test_packed_texts_keep_their_order(self):
        """The answer's vectors are those of the inputs in order."""
        packed = pack([request("embeddings", {"input": t, "model": "m", "dimensions": 8}) for t in "cab"])
        assert packed.body["input"] == ["c", "a", "b"]
        assert packed.body["dimensions"] == 8
        assert packed.model == "m"

    def test_a_packed_request_takes_the_tokens_of_its_cells(self):
        """The limiter is asked for all of it at once."""
        cells = [request("embeddings", {"input": t * 400, "model": "m"}) for t in "ab"]
        assert pack(cells).tokens == pytest.approx(sum(c.tokens for c in cells))
        assert pack(cells).tokens >= 200


def test_usage_adds_up():
    """Tokens of two answers are those of each."""
    assert Usage(1, 2, 3) + Usage(10, 20, 30) == Usage(11, 22, 33)
