"""Words of errors that tell a spent quota, which no waiting cures, from a rate that is too high.

Gateways pass on what a provider said and give it a status, a type and a code of their own, so that the words alone
tell. They are those of OpenAI, Azure, Anthropic, Google, Mistral, DeepSeek, xAI, Moonshot, OpenRouter, Together,
Fireworks, Cohere, Hugging Face, SiliconFlow, LiteLLM and Portkey.
"""

from __future__ import annotations

import re

_QUOTA = re.compile(
    r"""exceeded\ your\ current\ quota | insufficient\ quota | out\ of\ quota | check\ your\ plan\ and\ billing
    | (?:check|update)\ your\ (?:billing|subscription|payment) | billing\ (?:hard\ limit|not\ active)
    | quota\ (?:is\ |has\ been\ )?exhausted | free\ allocated\ quota\ exceeded
    | (?:credit|account)?\ ?balance\ is\ (?:too\ low|insufficient|not\ enough|negative|empty|exhausted) | 余额不足
    | (?:insufficient|not\ enough|out\ of|no)\ (?:\w+\ )?(?:credits?|balance|funds)\b
    | requires?\ more\ credits | used\ (?:up\ )?all\ (?:of\ )?(?:your\ |the\ |its\ )?(?:\w+\ )?credits
    | credits?\ (?:limit\ (?:exceeded|reached)|(?:is\ |are\ |have\ been\ |has\ been\ )?(?:exhausted|depleted|used\ up))
    | exceeded\ your\ (?:\w+\ ){0,2}(?:credits|budget|spend\w*\ limit|usage\ limits?)
    | (?:key|usage|spend|spending)\ limits?\ (?:has\ been\ |have\ been\ |was\ |were\ |is\ )?(?:exceeded|reached|hit)
    | (?:reached|exceeded|hit)\ (?:your|its|the)\ (?:\w+\ ){0,3}(?:usage|spend|spending|credit|budget)\ limits?
    | (?:reaching|reached|exceeded)\ (?:your|its|the)\ monthly\ (?:\w+\ )?(?:limit|quota|budget)
    | budget\ (?:has\ been\ |was\ |is\ )?exceeded | exceeded\ ?(?:\w+\ ?)?budget | over\ budget
    | payment\ (?:is\ )?required | arrears | arrearage | (?:calls|requests|tokens)\ ?(?:/|per)\ ?month\b""",
    re.VERBOSE,
)
_RATE = re.compile(
    r"""(?:per|a|/)\ ?(?:second|sec|minute|min|hour|day)\b | \b[rt]p[smhd]\b | too\ many\ requests
    | (?:requests|tokens|calls)\ (?:per|a)\ (?:second|minute|hour|day)
    | rate\ limit\ (?:reached|exceeded|of) | (?:call|token|request)\ rate\ limit
    | (?:try\ again|retry|wait)\ (?:in|after|at|for|until)\ (?:about\ )?\d | retry\ ?delay | limit\ resets""",
    re.VERBOSE,
)


def speaks_of_quota(message: str) -> bool:
    """Whether an error's message says that a quota, a budget or a credit is spent, and nothing of a rate or a wait."""
    words = re.sub(r"[\s_\-'\"`]+", " ", message.lower())
    return _QUOTA.search(words) is not None and _RATE.search(words) is None
