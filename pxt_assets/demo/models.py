"""The models that the demo uses: the one place to change when the API retires one."""

CHAT_MODEL = "gpt-6-luna"
DECISION_MODEL = "gpt-6-luna"
EMBEDDING_MODEL = "text-embedding-3-small"
IMAGE_MODEL = "gpt-image-2"
MODERATION_MODEL = "omni-moderation-latest"
SPEECH_MODEL = "gpt-4o-mini-tts"
TRANSCRIPTION_MODEL = "gpt-transcribe"
