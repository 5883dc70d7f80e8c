"""The messages of a prompt, as totals and as the question to reply to; the same for all endpoints."""

from dataclasses import dataclass

from pxt_assets.simulator.endpoint.endpoint import estimate_tokens

MESSAGE_OVERHEAD = 3
"""Tokens that `usage` states for each message, beyond its text."""

_IMAGE_TOKENS, _LOW_IMAGE_TOKENS = 765, 85


def image_tokens(detail: object) -> int:
    """Tokens of an image, whatever its size: for the limit as for `usage`."""
    return _LOW_IMAGE_TOKENS if detail == "low" else _IMAGE_TOKENS


@dataclass(slots=True)
class Conversation:
    """The messages so far; `add_message` adds one."""

    count: int = 0
    characters: int = 0
    image_tokens: int = 0
    """Tokens of the images in all messages."""
    question: str = ""
    """Text of the last user message, or of the last message if there is none of a user."""
    attachments: tuple[str, ...] = ()
    """The images and files of that message, each as a phrase."""
    answered_by_tool: bool = False
    """Whether a tool's output came after the last user message."""
    mentions_json: bool = False
    user_has_spoken: bool = False

    def add_message(
        self, role: str, text: str, attachments: tuple[str, ...] = (), *, image_tokens: int = 0
    ) -> None:
        """Add a message of `role`: "user", "assistant", "tool", ...; the images take `image_tokens`."""
        self.add_text(text, image_tokens=image_tokens)
        self.mentions_json = self.mentions_json or "json" in text.lower()
        self.answered_by_tool = role == "tool" or (self.answered_by_tool and role != "user")
        if role == "user" or not self.user_has_spoken:
            self.question, self.attachments = text, attachments
            self.user_has_spoken = role == "user"

    def add_text(self, text: str, *, image_tokens: int = 0) -> None:
        """Count a text that is no message: a call, or the output of one."""
        self.count += 1
        self.characters += len(text)
        self.image_tokens += image_tokens

    def tokens(self) -> int:
        """Tokens of the messages, as `usage` states them."""
        overhead = MESSAGE_OVERHEAD * (self.count + 1)
        return estimate_tokens(self.characters) + overhead + self.image_tokens
