"""The functions of the OpenAI API that a computed column can apply. The room may import `local` and those below it.

Example:
    ```python
    from pxt_assets.functions import chat_completions, embeddings, speech
    ```
"""

from pxt_assets.functions.audio import speech, transcriptions, translations
from pxt_assets.functions.chat import chat_completions
from pxt_assets.functions.decisions import decisions
from pxt_assets.functions.embeddings import embeddings
from pxt_assets.functions.images import image_edits, image_generations, image_variations
from pxt_assets.functions.invoke import invoke_tools
from pxt_assets.functions.moderations import moderations
from pxt_assets.functions.responses import responses

__all__ = [
    "chat_completions",
    "decisions",
    "embeddings",
    "image_edits",
    "image_generations",
    "image_variations",
    "invoke_tools",
    "moderations",
    "responses",
    "speech",
    "transcriptions",
    "translations",
]
