"""POST /v1/audio/speech, /transcriptions and /translations. May import `reply` and what stands below it."""
