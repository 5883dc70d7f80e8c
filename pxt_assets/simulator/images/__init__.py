"""POST /v1/images/generations, /edits and /variations. May import `reply` and what stands below it."""
