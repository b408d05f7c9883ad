"""A checkout of its own for tests that write."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from common.catalogue import ROOT

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fresh copy of the repository in a folder with a space in its name; every problem untouched."""
    copy = tmp_path / "my checkout"
    ignore = shutil.ignore_patterns("__pycache__", ".venv", ".gpt2")
    for name in ("common", "problems", "solutions"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignore)
    for name in ("pyproject.toml", "conftest.py"):
        shutil.copy(ROOT / name, copy / name)
    for skeleton in copy.glob("solutions/*/skeleton.py"):
        shutil.copy(skeleton, copy / "problems" / skeleton.parent.name / "solution.py")
    return copy


@pytest.fixture
def gpt2(checkout: Path) -> Run:
    """Runs the command in that checkout."""

    def run(*arguments: str, cwd: Path = checkout, **options) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(checkout), "NO_COLOR": "1", "COLUMNS": "80"}
        done = subprocess.run(
            [sys.executable, *options.pop("python", []), "-m", "common.cli", *arguments],
            cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False,
            stdin=subprocess.DEVNULL, **options,
        )  # fmt: skip
        assert "Traceback" not in done.stderr + done.stdout, done.stderr + done.stdout
        return done

    return run
