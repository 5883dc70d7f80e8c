"""The wire: JSON requests over connections of our own, without the official client, which takes ten times the CPU.

`HttpWire` sends; `account.py` says what the official client would send with a request, `direct.py` what this wire can
send; all else goes through the official client (`api/official_client.py`). Imports of `api` the decoding of answers alone.
"""

from __future__ import annotations

from pxt_assets.api.wire.account import ApiAccount, ApiUrl, api_account, asked_url, custom_headers
from pxt_assets.api.wire.direct import is_direct
from pxt_assets.api.wire.errors import (
    NOT_SENT,
    APIConnectionError,
    ApiError,
    APIStatusError,
    DecodingError,
    status_error,
)
from pxt_assets.api.wire.http_wire import HttpWire, Wire
from pxt_assets.api.wire.reply import Headers, Reply

__all__ = [
    "NOT_SENT",
    "APIConnectionError",
    "APIStatusError",
    "ApiAccount",
    "ApiError",
    "ApiUrl",
    "DecodingError",
    "Headers",
    "HttpWire",
    "Reply",
    "Wire",
    "api_account",
    "asked_url",
    "custom_headers",
    "is_direct",
    "status_error",
]
