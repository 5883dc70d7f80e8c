"""Image formats that Pillow opens with the help of another package alone."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple


class _Plugin(NamedTuple):
    package: str
    """What to install."""
    module: str
    register: str | None = None
    """The function of the module that makes Pillow know it; None where importing it does."""


_PLUGINS = {
    "avif": _Plugin("pillow-avif-plugin", "pillow_avif"),  # where Pillow was built without it
    "heic": _Plugin("pillow-heif", "pillow_heif", "register_heif_opener"),
    "jxl": _Plugin("pillow-jxl-plugin", "pillow_jxl"),
}


def register_plugin(format: str | None) -> bool:
    """Makes Pillow know a format (`heic`), if it needs a package for it and that is installed; returns whether it is."""
    plugin = _PLUGINS.get(format or "")
    if plugin is None:
        return False
    try:
        module = import_module(plugin.module)
        if plugin.register is not None:
            getattr(module, plugin.register)()
    except Exception:  # a package of another version, or one that does not fit this machine
        return False
    return True


def missing_package(format: str | None) -> str | None:
    """The package that Pillow needs for a format and that is not installed; None where there is none."""
    plugin = _PLUGINS.get(format or "")
    if plugin is None:
        return None
    try:
        import_module(plugin.module)
    except Exception:  # as above
        return plugin.package
    return None
