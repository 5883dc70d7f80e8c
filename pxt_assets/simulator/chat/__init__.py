"""POST /v1/chat/completions. May import `reply` and what stands below it."""
