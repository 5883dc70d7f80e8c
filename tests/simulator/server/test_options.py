import subprocess
import sys

import pytest

from pxt_assets.simulator import SimulatorOptions


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("rpm", 0, "> 0"),
        ("tpm", -1, "> 0"),
        ("moderation_rpm", float("inf"), "> 0"),
        ("latency", -0.1, ">= 0"),
        ("latency_sigma", float("nan"), ">= 0"),
        ("slow_seconds", "5", ">= 0"),
        ("fault_rate", 1.5, "from 0 to 1"),
        ("initial_level", -0.5, "from 0 to 1"),
        ("batch_seconds", -1, ">= 0"),
        ("batch_queue_limit", 0, "> 0"),
        ("batch_expiry_rate", 1.1, "from 0 to 1"),
        ("batch_failure_rate", True, "from 0 to 1"),
        ("background_seconds", float("inf"), ">= 0"),
        ("background_failure_rate", "1", "from 0 to 1"),
        ("seed", 1.5, "an int"),
    ],
)
def test_an_option_out_of_range_is_refused(name, value, allowed):
    """The message names the option, what it got and what is allowed."""
    with pytest.raises(ValueError, match=name) as caught:
        SimulatorOptions(**{name: value})
    assert repr(value) in str(caught.value)
    assert allowed in str(caught.value)


def test_a_batch_expires_or_fails():
    """Not both: the shares are parts of the same batches."""
    with pytest.raises(ValueError, match=r"1 together at most, got 0\.6 and 0\.5"):
        SimulatorOptions(batch_expiry_rate=0.6, batch_failure_rate=0.5)


def test_importing_the_package_loads_no_server():
    """Code that only mentions the options pays neither for Starlette, nor for uvicorn, nor for NumPy."""
    code = (
        "import sys; from pxt_assets.simulator import SimulatorOptions; SimulatorOptions(); "
        "print(sorted({'starlette', 'uvicorn', 'numpy', 'openai'} & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error():
    """Names that need the server are resolved at first use, others not at all."""
    import pxt_assets.simulator

    with pytest.raises(AttributeError, match="no attribute 'Simulator2'"):
        _ = pxt_assets.simulator.Simulator2
