"""Hugging Face's hub, where a check stands in for it: the student's side gets the same stand-in, and no network."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Generator
from typing import Any

_PLACES = ("huggingface_hub", "huggingface_hub.file_download")


def faked() -> tuple[Callable[..., Any], str] | None:
    """The function that a check has put in the place of hf_hub_download, and the folder of its cache."""
    package = sys.modules.get("huggingface_hub")
    constants = sys.modules.get("huggingface_hub.constants")
    download = vars(package).get("hf_hub_download") if package else None
    if (
        download is None
        or constants is None
        or str(download.__module__).startswith("huggingface_hub")
    ):
        return None
    return download, str(vars(constants)["HF_HUB_CACHE"])


def not_there() -> type[Exception]:
    """The hub's own exception for a file that it does not have; solutions may name it."""
    return vars(importlib.import_module("huggingface_hub.errors"))["LocalEntryNotFoundError"]


@contextlib.contextmanager
def standing_in(download: Callable[..., Any], cache: str, modules: list[Any]) -> Generator[None]:
    """Let hf_hub_download be another function, and the hub offline with this cache.

    Args:
        modules: others that may have imported the function by name.
    """
    constants = importlib.import_module("huggingface_hub.constants")
    real = vars(importlib.import_module("huggingface_hub.file_download"))["hf_hub_download"]
    puts: list[tuple[dict[str, Any], str, Any]] = [
        (vars(constants), "HF_HUB_OFFLINE", True),
        (vars(constants), "HF_HUB_CACHE", cache),
    ]
    for module in [*(importlib.import_module(place) for place in _PLACES), *modules]:
        names = [n for n, value in vars(module).items() if value is real]
        if module.__name__ == "huggingface_hub":
            names.append("hf_hub_download")
        puts += [(vars(module), name, download) for name in names]
    before = [(space, name, space.get(name)) for space, name, _ in puts]
    for space, name, value in puts:
        space[name] = value
    try:
        yield
    finally:
        for space, name, value in before:
            space[name] = real if value is None and name == "hf_hub_download" else value
