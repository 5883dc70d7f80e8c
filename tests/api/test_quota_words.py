"""What servers say of a quota that is spent, and of a rate that is too high."""

import pytest

from pxt_assets.api.quota_words import speaks_of_quota

QUOTAS = [
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.",
    "litellm.RateLimitError: RateLimitError: OpenAIException - You exceeded your current quota, please check your plan "
    "and billing details. Received Model Group=gpt-4o\nAvailable Model Group Fallbacks=None LiteLLM Retried: 2 times, "
    "LiteLLM Max Retries: 3",
    "Error code: 429 - {'error': {'type': 'insufficient_quota'}}",
    "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade.",
    "You have reached your specified API usage limits. You will regain access on 2027-01-01 at 00:00 UTC.",
    "Insufficient Balance",
    "Insufficient credits. Add more using https://openrouter.ai/settings/credits",
    "Key limit exceeded (total limit). Manage it using https://openrouter.ai/settings/keys",
    "Credit limit exceeded, please navigate to https://api.together.xyz/settings/billing to update your account",
    "Account acme is suspended, possibly due to reaching the monthly spending limit or failure to pay past invoices.",
    "Your team has either used all available credits or reached its monthly spending limit.",
    "Budget has been exceeded! Current cost: 5.2, Max budget: 5.0",
    "ExceededBudget: User=x over budget. Spend=7.2, Budget=5.0",
    "ExceededTokenBudget: Current spend for token: 7.2e-05; Max Budget for Token: 2e-07",
    "Crossed spend within budget. Usage limits exceeded for the API key.",
    "Billing hard limit has been reached",
    "Your account is not active, please check your billing details on our website.",
    "Sorry, your account balance is insufficient",
    "You are using a Trial key, which is limited to 1000 API calls / month.",
    "You have exceeded your monthly included credits for Inference Providers. Subscribe to PRO to get 20x more.",
    "Error code: 1113, 余额不足或无可用资源包,请充值。",
]
RATES = [
    "Rate limit reached for gpt-6 in organization org-1 on tokens per min (TPM): Limit 30000, Used 29000, Requested "
    "2000. Please try again in 2s. Visit https://platform.openai.com/account/rate-limits to learn more.",
    "Rate limit reached for model `llama` on tokens per day (TPD): Limit 100000, Used 99000, Requested 2000. Please try "
    "again in 14m24s. Need more tokens? Upgrade to Dev Tier today at https://console.groq.com/settings/billing",
    "Quota exceeded for quota metric 'Generate Content API requests per minute' and limit 'GenerateContent request "
    "limit per minute for a region' of service 'generativelanguage.googleapis.com' for consumer 'project_number:1'.",
    "You exceeded your current quota, please check your plan and billing details. * Quota exceeded for metric: "
    "generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 15\nPlease retry in 26.33s.",
    "Quota exceeded for aiplatform.googleapis.com/generate_content_requests_per_minute_per_project_per_base_model. "
    "Please submit a quota increase request.",
    "Resource has been exhausted (e.g. check quota).",
    "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2025-04-01 have exceeded token "
    "rate limit of your current OpenAI S0 pricing tier. Please retry after 20 seconds. Please go here: "
    "https://aka.ms/oai/quotaincrease if you would like to further increase the default rate limit.",
    "This request would exceed your organization's rate limit of 30,000 input tokens per minute.",
    "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day",
    "Rate limit exceeded for api_key: x. Limit type: tokens. Current limit: 100, Remaining: 0. Limit resets at: 12:00",
    "No deployments available for selected model, Try again in 5 seconds. Passed model=gpt-4. cooldown_list=[]",
    "Requests rate limit exceeded, please try again later.",
    "Too many tokens per day, please wait before trying again.",
    "Too Many Requests",
    "Rate limit reached for default-gpt in organization org-1 on requests per min. Limit: 3 / min. Current: 4 / min.",
    "Request too large for gpt-6 on tokens per min (TPM): Limit 30000, Requested 41000.",
    "The model is overloaded, billing is not affected",
    "",
]


@pytest.mark.parametrize("message", QUOTAS)
def test_words_of_a_spent_quota_are_known(message):
    """Whoever wraps them, and under whatever code."""
    assert speaks_of_quota(message)


@pytest.mark.parametrize("message", RATES)
def test_words_of_a_rate_are_never_those_of_a_quota(message):
    """Not even where both are spoken of: a wait that is named will end."""
    assert not speaks_of_quota(message)
