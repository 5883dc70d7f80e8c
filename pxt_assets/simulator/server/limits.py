"""Admission: which requests the limits let in, the rate-limit headers, and the 429."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from pxt_assets.simulator.endpoint.errors import DOCS, SimulatedError, bad_request
from pxt_assets.simulator.endpoint.models import is_moderation, model_family
from pxt_assets.simulator.server.bucket import Bucket, format_duration
from pxt_assets.simulator.server.options import UNLIMITED_REQUESTS, UNLIMITED_TOKENS, SimulatorOptions
from pxt_assets.simulator.server.shared_state import SharedState

Headers = list[tuple[bytes, bytes]]

_UNITS = {"requests": "requests per min (RPM)", "tokens": "tokens per min (TPM)"}


@dataclass(frozen=True)
class _Limits:
    rpm: float
    tpm: float


class RateLimits:
    """The buckets of every API key and model family.

    A family is charged at a request's arrival, one request and `tokens` tokens, or not at all. Families
    without a limit of their own share the numbers of the options, but never a bucket.
    """

    def __init__(self, options: SimulatorOptions, shared: SharedState | None = None) -> None:
        """`shared` holds the levels of buckets that other processes draw on too."""
        self._options = options
        # What nobody can use up need not be shared, which costs a transaction a request.
        self._shared = shared if options.rpm or options.tpm or options.moderation_rpm else None
        self._chat_and_embeddings = _Limits(
            options.rpm or UNLIMITED_REQUESTS, options.tpm or UNLIMITED_TOKENS
        )
        self._moderations = _Limits(
            options.moderation_rpm or options.rpm or UNLIMITED_REQUESTS, UNLIMITED_TOKENS
        )
        self._by_family: dict[str, _Limits] = {}
        self._groups: dict[tuple[str, str], tuple[Bucket, Bucket]] = {}

    def admit(
        self, key: str, model: str, tokens: int, now: float, *, announced_limits: Collection[str]
    ) -> Headers:
        """Charge one request of `tokens` tokens at `now`, in seconds.

        Returns the `x-ratelimit-*` headers that state what is left of the `announced_limits`, "requests" and
        "tokens"; none where the options switch them off. Raises a 429 `SimulatedError`, and charges nothing,
        if a bucket falls short, announced or not.
        """
        group = model_family(model)
        buckets = self._groups.get((key, group))
        if buckets is None:
            buckets = self._groups[(key, group)] = self._new_buckets(group, now)
        if self._shared is None:
            return self._charge(buckets, model, tokens, now, announced_limits)
        digest = blake2b(key.encode(), digest_size=8).hexdigest()
        names = (f"{digest} {group} requests", f"{digest} {group} tokens")
        with self._shared.levels_of(dict(zip(names, buckets, strict=True)), now):
            return self._charge(buckets, model, tokens, now, announced_limits)

    def _charge(
        self,
        buckets: tuple[Bucket, Bucket],
        model: str,
        tokens: int,
        now: float,
        announced_limits: Collection[str],
    ) -> Headers:
        requests_bucket, tokens_bucket = buckets
        announced_buckets = [
            (unit, bucket)
            for unit, bucket in (("requests", requests_bucket), ("tokens", tokens_bucket))
            if unit in announced_limits and self._options.headers
        ]
        for unit, bucket, amount in (("requests", requests_bucket, 1), ("tokens", tokens_bucket, tokens)):
            wait = bucket.wait(amount, now)
            if wait > 0:
                headers = _limit_headers(announced_buckets, now)
                raise _rate_limit_error(
                    unit, bucket, amount, wait=wait, model=model, headers=headers, now=now
                )
        requests_bucket.take(min(1.0, requests_bucket.limit), now)
        tokens_bucket.take(tokens, now)
        return _limit_headers(announced_buckets, now)

    def change(self, body: Any, now: float) -> dict[str, Any]:
        """Change limits in mid-run; the body of `POST /simulator/limits`.

        `body` has "rpm" and/or "tpm" (a number per minute, or null for no limit) and optionally "model": with
        it, only that model's family changes; without it, every family does. Returns the limits now in force.
        Raises a 400 `SimulatedError` for anything else.
        """
        rpm, tpm, model = _read_change(body)
        if model is not None:
            group = model_family(model)
            limits = self._by_family[group] = _with_limits(self._limits(group), rpm, tpm)
        else:
            limits = self._chat_and_embeddings = _with_limits(self._chat_and_embeddings, rpm, tpm)
            if self._options.moderation_rpm is None:
                self._moderations = _with_limits(self._moderations, rpm, None)
            self._by_family = {
                name: _with_limits(own, rpm, None if is_moderation(name) else tpm)
                for name, own in self._by_family.items()
            }
        for (_, group), (requests_bucket, tokens_bucket) in self._groups.items():
            new_limits = self._limits(group)
            requests_bucket.change_limit(new_limits.rpm, now)
            tokens_bucket.change_limit(new_limits.tpm, now)
        return {"model": model, "rpm": limits.rpm, "tpm": limits.tpm}

    def _limits(self, group: str) -> _Limits:
        default = self._moderations if is_moderation(group) else self._chat_and_embeddings
        return self._by_family.get(group, default)

    def _new_buckets(self, group: str, now: float) -> tuple[Bucket, Bucket]:
        limits = self._limits(group)
        level = self._options.initial_level
        return (
            Bucket(limits.rpm, level=limits.rpm * level, now=now),
            Bucket(limits.tpm, level=limits.tpm * level, now=now),
        )


def _with_limits(limits: _Limits, rpm: float | None, tpm: float | None) -> _Limits:
    return _Limits(rpm or limits.rpm, tpm or limits.tpm)


def _read_change(body: Any) -> tuple[float | None, float | None, str | None]:
    allowed = 'an object with "rpm" and/or "tpm" (numbers > 0, or null for no limit) and optionally "model"'
    if (
        not isinstance(body, Mapping)
        or not body.keys() <= {"rpm", "tpm", "model"}
        or not body.keys() - {"model"}
    ):
        raise bad_request(f"Expected {allowed}, got {body!r}.")
    model = body.get("model")
    if model is not None and not isinstance(model, str):
        raise bad_request(f"Expected {allowed}, got model {model!r}.", param="model")
    limits: list[float | None] = []
    for name, unlimited in (("rpm", UNLIMITED_REQUESTS), ("tpm", UNLIMITED_TOKENS)):
        value = body.get(name, 0)
        if value is None:
            limits.append(unlimited)
        elif name not in body:
            limits.append(None)
        elif isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf:
            limits.append(float(value))
        else:
            raise bad_request(f"Expected {allowed}, got {name} {value!r}.", param=name)
    return limits[0], limits[1], model


def _limit_headers(announced_buckets: list[tuple[str, Bucket]], now: float) -> Headers:
    headers: Headers = []
    for unit, bucket in announced_buckets:
        name = unit.encode()
        headers += [
            (b"x-ratelimit-limit-" + name, b"%d" % bucket.limit),
            (b"x-ratelimit-remaining-" + name, b"%d" % bucket.remaining(now)),
            (b"x-ratelimit-reset-" + name, format_duration(bucket.seconds_to_full(now)).encode()),
        ]
    return headers


def _rate_limit_error(
    unit: str, bucket: Bucket, amount: int, *, wait: float, model: str, headers: Headers, now: float
) -> SimulatedError:
    """The 429 for a request that needs `amount` units; with an infinite `wait` it exceeds the whole limit."""
    where = f"for {model} in organization org-simulated on {_UNITS[unit]}: Limit {bucket.limit:.0f}"
    more = f"Visit {DOCS}/account/rate-limits to learn more."
    if math.isinf(wait):
        # Waiting is of no use here, so there is no retry-after.
        message = (
            f"Request too large {where}, Requested {amount}. The input or output tokens must be reduced in "
            f"order to run successfully. {more}"
        )
        return SimulatedError(429, message, type=unit, code="rate_limit_exceeded", headers=headers)
    milliseconds = math.ceil(wait * 1000 - 1e-9)
    used = math.ceil(bucket.limit) - bucket.remaining(now)
    message = (
        f"Rate limit reached {where}, Used {used}, Requested {amount}. "
        f"Please try again in {format_duration(milliseconds / 1000)}. {more}"
    )
    waits = [
        (b"retry-after", b"%d" % max(1, math.ceil(milliseconds / 1000))),
        (b"retry-after-ms", b"%d" % milliseconds),
    ]
    return SimulatedError(429, message, type=unit, code="rate_limit_exceeded", headers=[*waits, *headers])
