"""What the messages of a prompt amount to, at whichever endpoint they came."""

from dataclasses import dataclass

from pxt_assets.simulator.endpoint.endpoint import estimate_tokens

MESSAGE_OVERHEAD = 3
"""Tokens that `usage` states for each message, beyond its text."""

IMAGE_TOKENS = 765
"""Tokens of an image, whatever its size: for the limit as for `usage`."""


@dataclass(slots=True)
class Conversation:
    """The messages so far; `hear` adds one."""

    count: int = 0
    characters: int = 0
    images: int = 0
    """Images in all messages."""
    question: str = ""
    """Text of the last user message, or of the last message where no user speaks."""
    attachments: tuple[str, ...] = ()
    """The images and files of that message, each as a phrase."""
    answered_by_tool: bool = False
    """Whether a tool has spoken since the last user message."""
    mentions_json: bool = False
    user_has_spoken: bool = False

    def hear(self, role: str, text: str, attachments: tuple[str, ...] = (), *, images: int = 0) -> None:
        """Add a message of `role`: "user", "assistant", "tool", ...; `images` of its attachments are images."""
        self.add(text, images=images)
        self.mentions_json = self.mentions_json or "json" in text.lower()
        self.answered_by_tool = role == "tool" or (self.answered_by_tool and role != "user")
        if role == "user" or not self.user_has_spoken:
            self.question, self.attachments = text, attachments
            self.user_has_spoken = role == "user"

    def add(self, text: str, *, images: int = 0) -> None:
        """Count what is no message: a call, or the output of one."""
        self.count += 1
        self.characters += len(text)
        self.images += images

    def tokens(self) -> int:
        """Tokens of the messages, as `usage` states them."""
        overhead = MESSAGE_OVERHEAD * (self.count + 1)
        return estimate_tokens(self.characters) + overhead + IMAGE_TOKENS * self.images
