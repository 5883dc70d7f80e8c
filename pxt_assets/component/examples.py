"""An example of a column for each function, as YAML has it: the schema of the component shows them."""

from typing import Any

EXAMPLES: dict[str, dict[str, Any]] = {
    "chat_completions": {
        "name": "response",
        "function": "chat_completions",
        "arguments": {
            "messages": [
                {"role": "system", "content": "Answer in one sentence."},
                {"role": "user", "content": "$tbl.body"},
            ],
            "model": "gpt-6-luna",
            "temperature": 0,
        },
        "on_error": "ignore",
    },
    "responses": {
        "name": "topic",
        "function": "responses",
        "arguments": {
            "input": "$tbl.body",
            "model": "gpt-6-luna",
            "instructions": "What is the ticket about?",
            "text": {
                "format": {
                    "type": "object",
                    "properties": {"topic": {"type": "string"}},
                    "required": ["topic"],
                    "additionalProperties": False,
                }
            },
        },
    },
    "decisions": {
        "name": "triage",
        "function": "decisions",
        "arguments": {
            "input": "$tbl.body",
            "model": "gpt-6-luna",
            "questions": {
                "urgent": {"type": "predicate", "instructions": "The customer needs an answer today."},
                "topic": {
                    "type": "choice",
                    "instructions": "What is it about?",
                    "choices": {"delivery": "parcels, dates", "defect": "it does not work", "other": ""},
                },
                "anger": {
                    "type": "score",
                    "instructions": "How angry is the customer?",
                    "levels": ["calm", "annoyed", "furious"],
                },
            },
        },
    },
    "embeddings": {
        "name": "embed",
        "function": "embeddings",
        "arguments": {"input": "$tbl.response.choices[0].message.content", "model": "text-embedding-3-small"},
    },
    "moderations": {"name": "moderation", "function": "moderations", "arguments": {"input": "$tbl.body"}},
    "image_generations": {
        "name": "drawn",
        "function": "image_generations",
        "arguments": {"prompt": "$tbl.body", "model": "gpt-image-2", "size": "1024x1024"},
    },
    "image_edits": {
        "name": "edited",
        "function": "image_edits",
        "arguments": {"image": "$tbl.photo", "prompt": "Take away the background", "model": "gpt-image-2"},
    },
    "image_variations": {
        "name": "variation",
        "function": "image_variations",
        "arguments": {"image": "$tbl.photo", "model": "dall-e-2"},
    },
    "speech": {
        "name": "spoken",
        "function": "speech",
        "arguments": {"input": "$tbl.body", "model": "gpt-4o-mini-tts", "voice": "nova"},
    },
    "transcriptions": {
        "name": "transcript",
        "function": "transcriptions",
        "arguments": {"audio": "$tbl.call", "model": "gpt-transcribe", "language": "en"},
    },
    "translations": {
        "name": "english",
        "function": "translations",
        "arguments": {"audio": "$tbl.call", "model": "whisper-1"},
    },
    "invoke_tools": {
        "name": "looked_up",
        "function": "invoke_tools",
        "arguments": {"tools": "my_package.tools:order_status", "response": "$tbl.response"},
    },
}
VALUE: dict[str, Any] = {"name": "answer", "value": "$tbl.response.choices[0].message.content"}
