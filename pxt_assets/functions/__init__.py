"""The functions of the OpenAI API that a computed column can apply.

Example:
    ```python
    from pxt_assets.functions import chat_completions, embeddings, moderations
    ```
"""

from pxt_assets.functions.chat import chat_completions
from pxt_assets.functions.embeddings import embeddings
from pxt_assets.functions.moderations import moderations

__all__ = ["chat_completions", "embeddings", "moderations"]
