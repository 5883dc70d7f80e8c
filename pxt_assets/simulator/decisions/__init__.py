"""POST /v1/decisions: which requests are refused, and answers to questions by the words of the input. May import `reply` and below."""
