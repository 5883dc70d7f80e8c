"""The arguments of a request for a response that say whether it is answered in the background, and within which time."""

from typing import Any

from pxt_assets.simulator.endpoint import arguments
from pxt_assets.simulator.endpoint.errors import bad_request

WINDOWS = ("soonest", "2h", "8h")


def read_background(body: dict[str, Any]) -> bool:
    """Whether a request is answered in the background. Raises a 400 for arguments that contradict each other."""
    background = arguments.read_boolean(body, "background")
    if background and body.get("store") is False:
        raise bad_request("Background mode requires 'store' to be true.", param="store")
    if body.get("background_options") is None:
        return background
    options = arguments.read_object(body["background_options"], "background_options")
    arguments.refuse_unknown_at(options, ("completion_window", "continuation_id"), "background_options")
    arguments.check_word(options, "completion_window", WINDOWS, at="background_options")
    arguments.check_string(options, "continuation_id", at="background_options")
    window = options.get("completion_window") or "soonest"
    if window == "soonest":
        return background
    param = "background_options.completion_window"
    if not background:
        raise bad_request(f"The completion window '{window}' requires 'background' to be true.", param=param)
    if body.get("service_tier") not in (None, "auto", "default"):
        raise bad_request(
            f"The completion window '{window}' requires Standard processing, got the service tier "
            f"'{body['service_tier']}'.",
            param=param,
        )
    return background
