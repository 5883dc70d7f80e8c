"""A client before a server that answers nothing but 429s, or nothing but faults to a few rows; on a virtual clock."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest

from pxt_assets.errors import CellError, FatalApiError, RunError
from pxt_assets.functions import chat_completions
from tests.api.test_client import REQUEST
from tests.api.test_client_trouble import ASKED, Sender, Server, now
from tests.virtual_time import run

QUOTA = "litellm.RateLimitError: OpenAIException - You exceeded your current quota, please check your plan and billing"


def refuse(
    status: int,
    message: str = "slow down please",
    headers: dict[str, str] | None = None,
    **body: str,
) -> Callable[[Server], None]:
    """A rule: nothing but this error."""

    def rule(_: Server) -> None:
        response = httpx2.Response(status, headers=headers, request=ASKED)
        raise openai.APIStatusError("no", response=response, body={"message": message, **body})

    return rule


def limits(remaining: int, reset: str, limit: int = 100) -> dict[str, str]:
    return {
        "x-ratelimit-limit-requests": str(limit),
        "x-ratelimit-remaining-requests": str(remaining),
        "x-ratelimit-reset-requests": reset,
    }


def played(rule: Callable[[Server], None], rows: int = 4, **options: Any) -> tuple[float, list[Any], Sender]:
    """The seconds that all rows took, and what became of each."""

    async def main() -> tuple[float, list[Any], Sender]:
        sender = Sender(Server(rule), **options)
        results = await sender.all(rows)
        return now(), results, sender

    return run(main())


class TestQuotas:
    @pytest.mark.parametrize("type_", ["throttling_error", "rate_limit_error", "None"])
    def test_a_renamed_quota_stops_the_run_at_once(self, type_):
        """The words tell, whatever type and code a gateway gives the error."""
        seconds, results, _ = played(refuse(429, QUOTA, type=type_, code="429"))
        assert any(isinstance(one, FatalApiError) for one in results)
        assert seconds < 5
        assert "billing page" in str(next(one for one in results if isinstance(one, FatalApiError)))

    @pytest.mark.parametrize("status", [400, 402, 403])
    def test_a_refusal_for_the_credit_is_of_all_requests(self, status):
        """Anthropic's 400 is no fault of a row, if nothing else is answered."""
        _, results, _ = played(refuse(status, "Your credit balance is too low to access the API."))
        assert {type(one) for one in results} == {FatalApiError}

    def test_a_row_that_quotes_such_words_fails_alone(self):
        """A refusal may quote the prompt: that others are answered tells."""

        def rule(server: Server) -> None:
            if len(server.times) == 2:
                refuse(400, "cannot parse 'your credit balance is too low'")(server)

        _, results, _ = played(rule)
        errors = [one for one in results if isinstance(one, Exception)]
        assert len(errors) <= 1
        assert all(isinstance(one, CellError) for one in errors)

    def test_a_limit_in_use_is_no_quota(self):
        """Headers that show nothing left show a rate, whatever the words."""

        def rule(server: Server) -> None:
            if now() < 100:
                refuse(429, QUOTA, limits(0, "60s"))(server)

        _, results, _ = played(rule)
        assert not [one for one in results if isinstance(one, Exception)]


class TestNothingBut429s:
    def test_after_a_bounded_time_the_run_fails_and_says_so(self):
        """A code and words that nobody knows may be a quota."""
        seconds, results, sender = played(refuse(429, "zut alors"), outage_timeout=300.0)
        error = next(one for one in results if type(one) is RunError)
        assert 300 <= seconds < 600
        for words in (
            "http://127.0.0.1/v1/",
            "nothing but 429s",
            "zut alors",
            "materialize again",
            "outage_timeout",
        ):
            assert words in str(error)
        assert any("nothing but 429s" in said and "zut alors" in said for said in sender.said)

    def test_one_answer_shows_that_it_is_a_rate(self):
        """However many 429s come between answers."""

        def rule(server: Server) -> None:
            if now() % 250 < 150:
                refuse(429)(server)

        _, results, _ = played(rule, rows=8, outage_timeout=300.0)
        assert not [one for one in results if isinstance(one, Exception)]

    def test_headers_that_promise_a_refill_end_it_no_later(self):
        """A limit that shows a refill of a minute, and never lets one in, is waited for as long as any."""
        seconds, results, _ = played(refuse(429, headers=limits(0, "60s")), outage_timeout=300.0)
        assert [one for one in results if type(one) is RunError]
        assert 300 <= seconds < 600

    def test_a_limit_that_refills_in_hours_is_named(self):
        """Nobody wants a run to hold its place for a day: it can be materialized again."""
        seconds, results, _ = played(refuse(429, headers=limits(0, "5h0m0s", 1_000)), outage_timeout=300.0)
        error = next(one for one in results if type(one) is RunError)
        assert "a wait of 5.0 h" in str(error)
        assert seconds < 1_000

    def test_another_model_that_is_answered_hides_nothing(self):
        """Quotas are of models too."""

        class Named(Server):
            async def post(self, request: Any) -> httpx2.Response:
                if request.model == "gpt-spent":
                    await asyncio.sleep(0.1)
                    refuse(429)(self)
                return await super().post(request)

        async def main() -> list[Any]:
            sender = Sender(Named(), outage_timeout=100.0)

            async def ask(model: str) -> Any:
                for _ in range(200 if model == "gpt-well" else 1):
                    request = chat_completions.cell_request(
                        {"messages": [{"role": "user", "content": "x"}], "model": model}
                    )
                    await sender.client.send(request, sender.meter)
                    await asyncio.sleep(1)

            return await asyncio.gather(ask("gpt-well"), ask("gpt-spent"), return_exceptions=True)

        well, spent = run(main())
        assert well is None
        assert type(spent) is RunError


class TestFewRows:
    @pytest.mark.parametrize("rows", [1, 3, 9])
    @pytest.mark.parametrize("status", [500, 502, 504])
    def test_a_server_that_only_faults_is_an_outage(self, rows, status):
        """Too few rows to open the breaker: still no row is at fault."""
        _, results, _ = played(refuse(status, "bad gateway"), rows=rows)
        assert {type(one) for one in results} == {RunError}
        assert "http://127.0.0.1/v1/ has answered nothing but faults" in str(results[0])
        assert "bad gateway" in str(results[0])

    def test_a_row_that_the_server_cannot_bear_fails_alone(self):
        """One answer among them, even a refusal, shows that the server is up."""

        class Picky(Server):
            async def post(self, request: Any) -> httpx2.Response:
                if request.body["messages"][0]["content"] == "0":
                    await asyncio.sleep(0.1)
                    refuse(500, "oops")(self)
                return await super().post(request)

        async def main() -> list[Any]:
            return await Sender(Picky()).all(3)

        failed, *others = run(main())
        assert isinstance(failed, CellError)
        assert not [one for one in others if isinstance(one, Exception)]

    def test_a_row_that_failed_before_fails_alone_again(self):
        """Else one row that no server bears would stop every later run."""

        async def main() -> None:
            sender = Sender(Server(refuse(500, "oops")))
            with pytest.raises(CellError):
                await sender.client.send(REQUEST, sender.meter, failed_before=True)

        run(main())
