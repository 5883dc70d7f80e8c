import pytest

from pxt_assets.throttle import estimate_tokens


@pytest.mark.parametrize(
    ("characters", "messages", "images", "charged"),
    [(660, 1, 0, 168), (7_240, 1, 0, 1_814), (94_967, 22, 0, 23_749), (400, 1, 2, 103 + 2 * 765)],
)
def test_estimate_is_near_what_the_api_charges(characters, messages, images, charged):
    """Within 1 % of charges observed on the API, and not below one."""
    estimate = estimate_tokens(characters, messages, images)
    assert charged <= estimate <= charged * 1.01
    assert isinstance(estimate, float)


def test_estimate_grows_with_each_part():
    """More text, more messages and more images never cost less."""
    assert estimate_tokens(0) < estimate_tokens(4) < estimate_tokens(4, 1) < estimate_tokens(4, 1, 1)
