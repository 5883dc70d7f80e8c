"""Which refusals speak of an input, and of which one."""

import pytest

from pxt_assets.api.input_refusal import inputs_named, speaks_of_input


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("Invalid 'input[17]': maximum input length is 8192 tokens.", (17,)),
        ("Invalid 'input[0]': input cannot be an empty string.", (0,)),
        ('{"detail":[{"loc":["body","input",3],"msg":"too short"},{"loc":["body","input",5]}]}', (3, 5)),
        ("The example at index 5 in your batch has too many tokens", (5,)),
        ("Input id 3 has 9000 tokens, exceeding max 8192 tokens.", (3,)),
        ("This model's maximum context length is 8192 tokens", ()),
        ("Invalid 'input': array too long. Expected an array with maximum length 2048", ()),
    ],
)
def test_the_inputs_that_a_refusal_names_are_read(message: str, named: tuple[int, ...]) -> None:
    """In the words of several servers, counted from 0."""
    assert inputs_named(message) == named


@pytest.mark.parametrize(
    "message",
    [
        "Invalid 'input[17]': maximum input length is 8192 tokens.",
        "This model's maximum context length is 8192 tokens, however you requested 8561 tokens",
        "'$.input' is invalid. Please check the API reference",
        "input cannot be an empty string",
        "the input length exceeds the context length",
        "Input validation error: `inputs` must have less than 512 tokens. Given: 600",
        "Input is too long for requested model",
        "The prompt triggered Azure OpenAI's content management policy",
    ],
)
def test_a_refusal_for_what_an_input_holds_is_known_by_its_words(message: str) -> None:
    """Neither another encoding nor a smaller number is tried then."""
    assert speaks_of_input(message)


@pytest.mark.parametrize(
    "message",
    [
        "no",
        "bad request",
        "base64 encoding is not currently supported",
        "unknown field `encoding_format`",
        "Invalid 'input': array too long. Expected an array with maximum length 2048",
        "batch size 100 > maximum allowed batch size 32",
        "Too many inputs in request, split into more batches.",
        "at most 100 requests can be in one batch",
    ],
)
def test_other_refusals_are_not_of_an_input(message: str) -> None:
    """They may be of the number, of the encoding, or of everything."""
    assert not speaks_of_input(message)
