"""POST /v1/audio/speech, /transcriptions and /translations."""
