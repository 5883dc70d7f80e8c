#!/usr/bin/env bash
# genai-prices 0.2.3.
#
# One would expect: an answer of POST https://api.openai.com/v1/decisions is priced as one, where that URL is given: the
# table has its prices, as the provider "openai-decisions" (all input at $0.10 a million, cached or not, output free).
# What happens: "openai" and "openai-decisions" have the same `api_pattern`, and "openai" stands first, so that the URL,
# like no provider at all, gives the prices of chat: cached tokens at a tenth, writes to the cache at a quarter more,
# output at $0.50 a million. Of a prompt of which three quarters were cached that is a third of what is charged; only
# `provider_id="openai-decisions"` is right.
# Source: genai_prices.calc_price, genai_prices/data.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q genai-prices==0.2.3
cat > "$folder/prices.py" <<'PYTHON'
from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import get_snapshot

URL = "https://api.openai.com/v1/decisions"
usage = Usage(input_tokens=2_000, cache_read_tokens=1_500, output_tokens=10)
found = {
    how: calc_price(usage, "gpt-6-luna", **given)
    for how, given in {
        "by its URL": {"provider_api_url": URL},
        "by no provider": {},
        "by provider_id": {"provider_id": "openai-decisions"},
    }.items()
}
for how, price in found.items():
    print(f"{how}: {price.provider.id}, ${price.total_price}")
patterns = [one.api_pattern for one in get_snapshot().providers if one.id in ("openai", "openai-decisions")]
print("patterns:", patterns)
assert patterns[0] == patterns[1]
assert [price.provider.id for price in found.values()] == ["openai", "openai", "openai-decisions"]
assert [float(price.total_price) for price in found.values()] == [0.00007, 0.00007, 0.0002]
PYTHON
"$folder/venv/bin/python" "$folder/prices.py"
# Output seen on 2026-11-30:
# by its URL: openai, $0.000070
# by no provider: openai, $0.000070
# by provider_id: openai-decisions, $0.0002
# patterns: ['https://api\\.openai\\.com', 'https://api\\.openai\\.com']
