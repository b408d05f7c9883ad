"""Small JSON files in .gpt2/: read as a whole or set aside, which is said; never fatal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def read(file: Path, parse: Callable[[Any], T], what: str) -> T | None:
    """What the file holds; None where there is none, or where it cannot be read.

    Args:
        parse: makes it from what JSON gives; raises ValueError, KeyError, TypeError or AttributeError where it
            is something else.
        what: the subject of the sentence that is said then: "Progress".
    """
    try:
        return parse(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        aside = file.with_suffix(".corrupt.json")
        try:
            os.replace(file, aside)
            warn(
                f"{file.name} could not be read ({error}); it was set aside as {aside}. {what} starts anew."
            )
        except OSError:
            warn(f"{file} could not be read ({error}); {what.lower()} is not remembered.")
    return None


def warn(text: str) -> None:
    """Say something that stops nothing."""
    print(text, file=sys.stderr)
