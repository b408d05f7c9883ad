"""Does it work on every Python and torch that pyproject.toml allows? Each combination in a copy of its own.

    python3 tests/matrix.py [--reduced] [--python 3.13] [--torch 2.6.0]

Takes each Python from 3.11 to 3.14 that this machine has, the newest torch that the registry serves and the oldest
that is allowed, and where a folder of wheels is named (UV_FIND_LINKS or PIP_FIND_LINKS) its build for the CPU.
Needs only the standard library, and uv on the path or in .tools.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MINORS = ("3.11", "3.12", "3.13", "3.14")
REFERENCES = ["--reference"]
# What is asked of each combination: pytest's arguments.
FULL = {
    "references": REFERENCES,
    "mistakes": ["tests/test_mistakes.py"],
    "skeletons": ["tests/test_course.py", "-k", "skeleton"],
    "watch": ["tests/test_watch.py", "tests/test_running.py"],
    "grading": ["tests/test_grading.py", "tests/test_grading_runs.py", "-m", "not slow"],
    "train": ["tests/test_train.py", "-k", "comes_out or never_stopped or transformers_loads"],
    "interview": ["tests/test_interview.py", "tests/test_mock.py", "tests/test_cost.py"],
    "internals": ["tests/test_internals.py"],
}
REDUCED = FULL | {
    "mistakes": ["tests/test_mistakes.py", "-k", "05:"],
    "watch": ["tests/test_watch.py", "-k", "skeleton_to_the_next"],
    "grading": ["tests/test_grading_runs.py", "-k", "gets_what_it_earned"],
    "train": ["tests/test_train.py", "-k", "comes_out"],
    "interview": ["tests/test_interview.py", "-k", "submitted_early"],
}


@dataclass
class Cell:
    """One combination, and what came of it."""

    minor: str
    python: str
    torch: str  # "" is whatever `uv sync` takes
    wheels: str = ""  # a folder, for a build that lies there
    results: dict[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return f"{self.minor}, torch {self.torch or 'newest'}{', CPU' if self.wheels else ''}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reduced", action="store_true", help="few combinations, fewer tests")
    parser.add_argument("--python", help="only this one, as in 3.13")
    parser.add_argument("--torch", help="only this one")
    args = parser.parse_args()
    uv = shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
    found = cells(pythons(uv))
    if args.reduced:
        found = reduced(found)
    found = [c for c in found if args.python in (None, c.minor) and args.torch in (None, c.torch)]
    asked = REDUCED if args.reduced else FULL
    with tempfile.TemporaryDirectory(prefix="gpt2-matrix-") as folder:
        for number, cell in enumerate(found):
            print(f"--- {cell.label}", flush=True)
            run(cell, Path(folder, str(number)), uv, asked)
    print("\n" + table(found, asked))
    return 1 if any("FAILED" in r for c in found for r in c.results.values()) else 0


def pythons(uv: str) -> dict[str, str]:
    """The newest Python of each minor version that is here."""
    command = [uv, "python", "list", "--only-installed", "--output-format", "json"]
    listed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    found: dict[str, tuple[tuple[int, ...], str]] = {}
    places = [(entry["version"], entry["path"]) for entry in listed]
    places += [
        (p.parents[1].name, str(p)) for p in Path.home().glob(".pyenv/versions/3.*/bin/python")
    ]
    for version, path in places:
        minor = ".".join(version.split(".")[:2])
        if minor in MINORS and re.fullmatch(r"[\d.]+", version) and ".venv" not in path:
            key = tuple(map(int, version.split(".")))
            found[minor] = max(found.get(minor, ((), "")), (key, str(path)))
    return {minor: found[minor][1] for minor in MINORS if minor in found}


def cells(here: dict[str, str]) -> list[Cell]:
    """Each Python with the newest and the oldest torch, and with a wheel for the CPU where one fits."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bound = next(d for d in project["dependencies"] if d.startswith("torch"))
    match = re.search(r">=([\d.]+)", bound)
    assert match
    oldest = match[1] + ".0" * (2 - match[1].count("."))
    found = []
    for minor, python in here.items():
        found += [Cell(minor, python, ""), Cell(minor, python, oldest)]
        wheels = os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS") or ""
        tag = f"cp{minor.replace('.', '')}"
        for wheel in sorted(Path(wheels).glob(f"torch-*-{tag}-*.whl")) if wheels else []:
            found.append(Cell(minor, python, wheel.name.split("-")[1].partition("+")[0], wheels))
    return found


def reduced(found: list[Cell]) -> list[Cell]:
    """The newest Python with the newest torch, the oldest torch on the one between, and the CPU build."""
    minors = sorted({c.minor for c in found}, key=lambda m: tuple(map(int, m.split("."))))
    newest, middle = minors[-1], minors[len(minors) // 2]
    chosen = [c for c in found if c.minor == newest and not c.torch]
    chosen += [c for c in found if c.minor == middle and c.torch and not c.wheels]
    return chosen + [c for c in found if c.wheels][:1]


def run(cell: Cell, folder: Path, uv: str, asked: dict[str, list[str]]) -> None:
    """Set up a copy of the checkout and run what is asked there."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(
        ".git", ".venv*", ".tools", ".gpt2", "__pycache__", "checkpoints", "interviews", "uv.lock"))  # fmt: skip
    environment = {
        k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "UV_FIND_LINKS", "UV")
    }
    environment |= {"UV_PYTHON": cell.python, "OMP_NUM_THREADS": "1"}
    environment.pop(
        "PYTHONDONTWRITEBYTECODE", None
    )  # without bytecode importing torch takes twice as long
    if cell.wheels:
        environment["UV_FIND_LINKS"] = cell.wheels

    def call(*command: str) -> tuple[int, str]:
        done = subprocess.run(
            command, cwd=folder, env=environment, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return done.returncode, done.stdout

    if cell.torch:
        call(uv, "lock", "--quiet", "--upgrade-package", f"torch=={cell.torch}")
    code, said = call(uv, "sync", "--quiet", "--group", "dev", "--compile-bytecode")
    if code:
        cell.results["set-up"] = "FAILED"
        print(said[-2000:], flush=True)
        return
    python = folder / ".venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    _, version = call(
        str(python),
        "-c",
        "import torch, platform; print(platform.python_version(), torch.__version__)",
    )
    cell.minor, cell.torch = [*version.split(), "?", "?"][:2]
    for name, arguments in asked.items():
        begun = time.monotonic()
        several = [] if arguments == REFERENCES else ["-n", "2", "--dist", "worksteal"]
        code, said = call(
            str(python), "-m", "pytest", "-q", "-p", "no:randomly", *several, *arguments
        )
        verdict = "ok" if code == 0 else "none here" if code == 5 else "FAILED"
        cell.results[name] = f"{verdict} {time.monotonic() - begun:.0f} s"
        print(
            f"    {name:<11} {cell.results[name]:<12} {said.strip().splitlines()[-1][:90]}",
            flush=True,
        )
        if verdict == "FAILED":
            print(said[-4000:], flush=True)
    shutil.rmtree(folder, ignore_errors=True)


def table(found: list[Cell], asked: dict[str, list[str]]) -> str:
    """All combinations, a line each."""
    lines = ["| Python | torch | " + " | ".join(asked) + " |", "| --- " * (len(asked) + 2) + "|"]
    for cell in found:
        torch = cell.torch + (" (wheel)" if cell.wheels else "")
        said = [cell.results.get(name, cell.results.get("set-up", "-")) for name in asked]
        lines.append(f"| {cell.minor} | {torch} | " + " | ".join(said) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
