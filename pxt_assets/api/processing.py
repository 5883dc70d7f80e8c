"""How a request is processed, which decides what its answer costs."""

from __future__ import annotations

from typing import Literal

Processing = Literal["standard", "batch", "background_8h", "background_2h"]
"""`standard`: answered now, at the price of the answer's service tier. `batch`: by the Batch API, within 24 hours.
`background_8h`, `background_2h`: by the Responses API in the background, with that `completion_window`."""
