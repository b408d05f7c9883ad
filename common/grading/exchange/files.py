"""Files that a check makes and names in a call: they travel with their names.

The other side puts them below a folder of its own, and calls them by that name from then on.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_LARGEST = 8 << 20  # bytes of all files of one message


def named(values: Iterable[Any]) -> dict[str, dict[str, bytes]]:
    """The files below each path that a value names, if it lies in the folder for temporary files.

    A judge has such a folder of its own (engine.py), as a value may be one that a student's code has made up.
    """
    above = os.path.realpath(tempfile.gettempdir())
    found: dict[str, dict[str, bytes]] = {}
    for value in values:
        if isinstance(value, str) and os.path.isabs(value) and os.path.exists(value):
            path = Path(os.path.realpath(value))
            if path.is_relative_to(above) and path != Path(above):
                found[value] = contents(path)
    return found


def contents(path: Path) -> dict[str, bytes]:
    """A file's content under the name "", or those of all files in a folder by their names in it."""
    if path.is_file():
        return {"": path.read_bytes()}
    files = {
        str(f.relative_to(path)): f.read_bytes() for f in sorted(path.rglob("*")) if f.is_file()
    }
    if sum(map(len, files.values())) > _LARGEST:
        raise ValueError(f"{path} holds more than {_LARGEST:,} bytes")
    return files


class Copies:
    """The other side's files, below a folder of this side's."""

    def __init__(self, below: Path) -> None:
        self.below = below
        self.known: dict[str, str] = {}  # our names, by theirs

    def take(self, files: dict[str, dict[str, bytes]]) -> None:
        """Write files down."""
        for path, held in files.items():
            place = self.below / path.lstrip("/")
            if "" not in held:
                place.mkdir(parents=True, exist_ok=True)
            for name, data in held.items():
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                (place / name).write_bytes(data)
            self.known[path] = str(place)

    def here(self, value: Any) -> Any:
        """The value, or if it is the name of such a file, ours."""
        return self.known.get(value, value) if isinstance(value, str) else value

    def there(self, text: str) -> str:
        """A text in which their names stand in place of ours."""
        for path, place in self.known.items():
            text = text.replace(place, path)
        return text
