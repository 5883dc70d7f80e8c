"""The client and requests that are believed too large: the server decides. On a virtual clock."""

import asyncio
import json
from typing import Any

import httpx2
import openai
import pytest

from pxt_assets.api.request import Request, pack
from pxt_assets.errors import CellError
from pxt_assets.functions import chat_completions, embeddings, responses
from tests.api.test_client_trouble import ANSWER, ASKED, Sender, now
from tests.virtual_time import run

LIMIT = 30_000
PICTURE = "https://example.com/a.png"


def asked(characters: int) -> Request:
    """A chat request whose text has about a quarter as many tokens."""
    messages = [{"role": "user", "content": "x" * characters}]
    return chat_completions.cell_request({"messages": messages, "model": "gpt-4o"})


class Account:
    """Stands for the transport: a full bucket of `limit` tokens each time, which every request is answered from."""

    base_url = httpx2.URL("http://127.0.0.1/v1/")

    def __init__(self, limit: int = LIMIT, message: str = "Rate limit reached", used: int = 0) -> None:
        self.limit, self.message, self.used = limit, message, used
        self.sent: list[tuple[float, float]] = []
        self.in_flight = 0
        self.company: list[int] = []

    async def post(self, request: Request) -> httpx2.Response:
        self.sent.append((now(), request.tokens))
        self.company.append(self.in_flight)
        self.in_flight += 1
        await asyncio.sleep(0.1)
        self.in_flight -= 1
        left = self.limit - self.used
        headers = {
            "x-ratelimit-limit-tokens": str(self.limit),
            "x-ratelimit-remaining-tokens": str(left),
            "x-ratelimit-reset-tokens": f"{self.used / self.limit * 60:.3f}s",
        }
        if request.tokens > self.limit:
            response = httpx2.Response(429, headers=headers, request=ASKED)
            body = {"message": self.message, "code": "rate_limit_exceeded"}
            raise openai.APIStatusError("no", response=response, body=body)
        return httpx2.Response(200, content=json.dumps(ANSWER), headers=headers, request=ASKED)


def played(account: Account, *requests: Request) -> list[Any]:
    """What becomes of the first request, and then of the others, all at once."""

    async def main() -> list[Any]:
        sender = Sender(account)  # type: ignore[arg-type]
        first = await sender.client.send(requests[0], sender.meter)
        sending = (sender.client.send(request, sender.meter) for request in requests[1:])
        return [first, *await asyncio.gather(*sending, return_exceptions=True)]

    return run(main())


@pytest.mark.parametrize(
    "message",
    [
        "Rate limit reached",
        "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 50004.",
        "litellm.RateLimitError: OpenAIException - Request too large for gpt-4o: Limit 30,000, Requested 50,004.",
        "Rate limit reached for gpt-4o: Limit 30000, Used 0, Requested 50004. Please try again in 40s.",
    ],
)
def test_what_the_server_refuses_has_its_words(message):
    """It is sent once, alone, and its row's error is the server's, with what to do."""
    account = Account(message=message)
    _, error, *others = played(account, asked(400), asked(200_000), *[asked(400)] * 5)
    assert isinstance(error, CellError)
    assert error.errortype == "RequestTooLarge"
    assert message.rstrip(".") in error.message
    assert [tokens > LIMIT for _, tokens in account.sent].count(True) == 1
    assert account.company[[tokens > LIMIT for _, tokens in account.sent].index(True)] == 0
    assert not [one for one in others if isinstance(one, Exception)]


def test_of_many_as_large_one_is_sent():
    """The others have the same words."""
    account = Account()
    _, *errors = played(account, asked(400), *(asked(200_000 + n) for n in range(20)))
    assert all("Rate limit reached" in error.message for error in errors)
    assert [tokens > LIMIT for _, tokens in account.sent].count(True) == 1


def test_a_raised_limit_is_found():
    """Though nothing but requests larger than the old one are left."""

    async def main() -> Account:
        account = Account(limit=100)
        sender = Sender(account)  # type: ignore[arg-type]
        await sender.client.send(asked(40), sender.meter)
        account.limit = 1_000_000
        sending = (sender.client.send(asked(2_000 + n), sender.meter) for n in range(5))
        await asyncio.gather(*sending)
        return account

    account = run(main())
    assert len(account.sent) == 6
    assert account.sent[-1][0] < 65


def test_429s_that_tell_nothing_are_tried_three_times():
    """A limit that others use may be the reason, but not for ever."""
    account = Account(used=LIMIT // 2)
    _, error = played(account, asked(400), asked(200_000))
    assert isinstance(error, CellError)
    assert error.errortype == "RequestTooLarge"
    assert "Make the request smaller" in error.message
    assert len(account.sent) == 4


def test_a_429_that_names_a_limit_of_zero_refuses_no_other_row():
    """Nor one of -1: the others are sent, and answered."""

    class Odd(Account):
        async def post(self, request: Request) -> httpx2.Response:
            answer = await super().post(request)
            if len(self.sent) in (2, 3):
                zero = "0" if len(self.sent) == 2 else "-1"
                headers = {"x-ratelimit-limit-tokens": zero, "x-ratelimit-remaining-tokens": zero}
                response = httpx2.Response(429, headers=headers, request=ASKED)
                raise openai.APIStatusError("no", response=response, body={"message": "slow down"})
            return answer

    results = played(Odd(), *(asked(400 + n) for n in range(20)))
    assert not [one for one in results if isinstance(one, Exception)]


def test_embeddings_that_are_too_large_together_are_not_sent_together():
    """They fail as divisible, so that their halves are tried."""
    texts = [
        embeddings.cell_request({"input": "x" * 30_000, "model": "text-embedding-3-small"}) for _ in range(8)
    ]

    async def main() -> tuple[Account, BaseException]:
        account = Account()
        sender = Sender(account)  # type: ignore[arg-type]
        await sender.client.send(asked(400), sender.meter)
        with pytest.raises(CellError) as error:
            await sender.client.send(pack(texts), sender.meter)
        return account, error.value

    account, error = run(main())
    assert isinstance(error, CellError)
    assert error.divisible
    assert len(account.sent) == 1


@pytest.mark.parametrize(("detail", "tokens"), [("low", 85), ("high", 765), ("auto", 765), (None, 765)])
def test_images_are_counted_by_their_detail(detail, tokens):
    """In a chat it stands beside the URL, in a response beside the image."""
    given = {} if detail is None else {"detail": detail}
    in_chat = {"type": "image_url", "image_url": {"url": PICTURE, **given}}
    in_response = {"type": "input_image", "image_url": PICTURE, **given}

    def counted(function: Any, part: dict[str, Any], name: str) -> float:
        sizes = [
            function.cell_request({name: [{"role": "user", "content": [part] * n}], "model": "gpt-4o"}).size
            for n in (1, 3)
        ]
        return (sizes[1].least_tokens - sizes[0].least_tokens) / 2

    assert counted(chat_completions, in_chat, "messages") == tokens
    assert counted(responses, in_response, "input") == tokens
