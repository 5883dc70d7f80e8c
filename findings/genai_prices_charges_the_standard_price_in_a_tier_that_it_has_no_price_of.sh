#!/usr/bin/env bash
# genai-prices 0.2.3 (its bundled table).
#
# One would expect: a price that the table has not is an error (as for a model that it does not know: LookupError), or
# can be told from one that it has.
# What happens: a `price_context` that none of the model's variants matches, a misspelt one too, silently gives the standard
# price: text-embedding-3-small by batch comes out twice too dear, gpt-4.1-mini in the tier flex at the default tier's price.
# A unit that the model has no price of is charged at its parent's, or at nothing: the audio tokens of
# gpt-4o-audio-preview at the price of text (published: eight times as much for output), web searches of gpt-6-cyber and
# the characters that gpt-4o-mini-tts read aloud at $0. Any model whose name holds the word `moderation` is free,
# and gpt-oss, which OpenAI does not serve, has the price of one of OpenRouter's hosts.
# So look at `model.price_variants` and at the prices of `model_price` themselves, and take what is not there for unknown.
# Source: genai_prices/types.py (ModelInfo.get_prices, ModelPrice.calc_price), decompose.py, data.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q genai-prices==0.2.3
cat > "$folder/priced.py" <<'PYTHON'
from genai_prices import Usage, calc_price


def dollars(model, context=None, **used):
    return float(calc_price(Usage(**used), model, provider_id="openai", price_context=context).total_price)


text = {"input_tokens": 1_000_000}
embedded = [dollars("text-embedding-3-small", context, **text) for context in (None, {"processing": "batch"})]
print(f"a million tokens of text-embedding-3-small: ${embedded[0]:g} now, ${embedded[1]:g} by batch")
contexts = (None, {"service_tier": "flex"}, {"service_tier": "flexx"}, {"servicetier": "flex"})
mini = [dollars("gpt-4.1-mini", context, **text) for context in contexts]
print(f"of gpt-4.1-mini: {mini} in the tiers default, flex, 'flexx' and under a misspelt key")
luna = [dollars("gpt-6-luna", context, **text) for context in contexts]
print(f"of gpt-6-luna, which has a price of flex (twice as much for long prompts): {luna}")
spoken = dollars("gpt-4o-audio-preview", output_tokens=1_000_000, output_audio_tokens=1_000_000)
written = dollars("gpt-4o-audio-preview", output_tokens=1_000_000)
print(f"a million tokens of sound of gpt-4o-audio-preview: ${spoken:g}, of text ${written:g}")
nothing = [
    dollars("gpt-6-cyber", web_searches=1_000),
    dollars("gpt-4o-mini-tts", input_characters=1_000_000),
    dollars("my-own-moderation-model", **text),
]
print(f"searches of gpt-6-cyber, characters of gpt-4o-mini-tts, a moderation model of one's own: {nothing}")
print(f"gpt-oss-120b: ${dollars('gpt-oss-120b', **text):g}")
try:
    dollars("a-model-nobody-sells", **text)
except LookupError as e:
    print(f"a model that it does not know: {type(e).__name__}")
assert embedded == [0.02, 0.02]
assert mini == [0.4] * 4
assert luna == [0.2, 0.1, 0.2, 0.2]
assert spoken == written == 10
assert nothing == [0, 0, 0]
PYTHON
"$folder/venv/bin/python" "$folder/priced.py"
# Output seen on 2026-11-30:
# a million tokens of text-embedding-3-small: $0.02 now, $0.02 by batch
# of gpt-4.1-mini: [0.4, 0.4, 0.4, 0.4] in the tiers default, flex, 'flexx' and under a misspelt key
# of gpt-6-luna, which has a price of flex (twice as much for long prompts): [0.2, 0.1, 0.2, 0.2]
# a million tokens of sound of gpt-4o-audio-preview: $10, of text $10
# searches of gpt-6-cyber, characters of gpt-4o-mini-tts, a moderation model of one's own: [0.0, 0.0, 0.0]
# gpt-oss-120b: $0.039
# a model that it does not know: LookupError
