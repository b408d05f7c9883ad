"""How a command is typed in the shell that this program was started from."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from functools import cache
from pathlib import Path


def gpt2(arguments: str = "") -> str:
    """The command with these arguments, as it works right there: `uv run gpt2 check 05`."""
    course = shlex.join(sys.argv[1:3]) if sys.argv[1:2] == ["--course"] else ""
    return " ".join(filter(None, [f"{prefix()}gpt2", course, arguments]))


@cache
def prefix() -> str:
    """What comes before `gpt2` or `pytest`: "uv run ", nothing, or the path to the environment's programs."""
    if uv := os.environ.get("UV"):  # set by `uv run`, whose PATH is not that of the shell
        return "uv run " if _found("uv") else f"{_short(Path(uv))} run "
    scripts = Path(sys.executable).parent
    if (on_path := shutil.which("gpt2")) and Path(on_path).parent.resolve() == scripts.resolve():
        return ""
    if _found("uv"):
        return "uv run "
    return f"{_short(scripts)}{os.sep}"


def _found(program: str) -> bool:
    """Whether a shell would find it: `uv run` puts the environment's folder, where pip may have put uv, in front."""
    own = str(Path(sys.executable).parent)
    places = [p for p in os.environ.get("PATH", "").split(os.pathsep) if p and p != own]
    return shutil.which(program, path=os.pathsep.join(places)) is not None


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
