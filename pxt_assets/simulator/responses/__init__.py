"""POST /v1/responses. May import `reply` and what stands below it."""
