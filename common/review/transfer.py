"""Progress and reviews in one file, to be merged on another machine; nothing that was solved is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from common.course.catalogue import problems
from common.errors import CourseError, UsageError
from common.files import write_atomically
from common.learner import plans, progress
from common.learner.plans import Plan
from common.review import deck
from common.review.deck import Deck

FORMAT = "write-gpt2 progress"
VERSION = 1
_ENTRY = {"digest": str, "passed": int, "checks": int, "loads": bool, "parts": dict}


def export(path: Path) -> Path:
    """Write all that is remembered into one file, and return where it lies.

    Raises:
        UsageError: another file is there.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name a file, like {path / 'progress.json'}")
    if path.exists():
        try:
            _parsed(path)
        except CourseError:
            raise UsageError(
                f"{path} exists and is no export of progress: name another file"
            ) from None
    data = {
        "format": FORMAT,
        "version": VERSION,
        "progress": progress.read(),
        "review": deck.read().to_data(),
    }
    if plan := plans.read():
        data["plan"] = plan.to_data()
    write_atomically(path, json.dumps(data, indent=1, sort_keys=True) + "\n")
    return path


def merge(path: Path) -> list[str]:
    """Merge such a file into what is remembered here, and return what was done, a sentence each.

    Raises:
        UsageError: it is none.
    """
    theirs, reviews, planned = _parsed(path)
    mine, here, plan = progress.read(), deck.read(), plans.read()
    merged, reviewed = merged_progress(mine, theirs), merged_decks(here, reviews)
    if merged != mine:
        progress.replace(merged)
    if reviewed != here:
        deck.write(reviewed)
    later = plans.later(plan, planned)
    if later and later != plan:
        plans.write(later)
    said = [*_new_passes(mine, merged), *_new_rest(mine, merged, theirs)]
    if new := len(reviewed.log) - len(here.log):
        said.append(
            f"{new} grade{'s' * (new > 1)} of cards came in; of each card the later stands."
        )
    if later != plan:
        said.append("The plan from there stands: it was made later, or more of it is done.")
    return said or ["Everything in it was here already."]


def merged_progress(mine: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """The better of both for each problem, the most hints, and every reset whose backup is here."""
    both = {**mine["problems"]}
    here = {p.name: progress.digest(p) for p in problems() if p.name in theirs["problems"]}
    for name, entry in theirs["problems"].items():
        both[name] = _better(both[name], entry, here.get(name)) if name in both else entry
    hints = {**mine.get("hints", {})}
    for name, opened in theirs.get("hints", {}).items():
        hints[name] = max(hints.get(name, 0), opened)
    resets = [*mine.get("resets", [])]
    found = [r for r in _resets_here(theirs) if r not in resets]
    out = {**mine, "problems": both}
    return out | ({"hints": hints} if hints else {}) | ({"resets": resets + found} if found else {})


def merged_decks(mine: Deck, theirs: Deck) -> Deck:
    """Of each card the memory that was graded later, and the grades of both."""
    memories = {**mine.memories}
    for card, memory in theirs.memories.items():
        known = memories.get(card)
        if not known or (memory.last, memory.reviews) > (known.last, known.reviews):
            memories[card] = memory
    log = sorted({*mine.log, *theirs.log}, key=lambda review: (review.at, review.card))
    return replace(mine, memories=memories, log=tuple(log))


def _better(one: dict[str, Any], other: dict[str, Any], here: str | None) -> dict[str, Any]:
    """The entry that passes, or else that is about the file here, or else that passes more; the first of equals."""

    def rank(entry: dict[str, Any]) -> tuple[bool, bool, float]:
        share = entry["passed"] / max(entry["checks"], 1)
        return _passes(entry), entry["digest"] == here, share

    best = max(one, other, key=rank)
    first = [entry["solved"] for entry in (one, other) if "solved" in entry]
    return {**best, "solved": min(first)} if first else best


def _passes(entry: dict[str, Any]) -> bool:
    return 0 < entry["checks"] == entry["passed"]


def _new_passes(mine: dict[str, Any], merged: dict[str, Any]) -> list[str]:
    """What the merged progress has that mine had not."""
    new = {
        name: entry
        for name, entry in merged["problems"].items()
        if _passes(entry) and not _passes(mine["problems"].get(name, {"checks": 0, "passed": 0}))
    }
    if not new:
        return []
    digests = {p.name: progress.digest(p) for p in problems() if p.name in new}
    other = [name for name, entry in new.items() if digests.get(name) != entry["digest"]]
    said = [f"Passing there and now here: {', '.join(sorted(new))}."]
    if other:
        said.append(
            f"The solution.py here is not the one that passed there: {', '.join(sorted(other))}. "
            "Bring your files along too; until then they count as changed."
        )
    return said


def _new_rest(mine: dict[str, Any], merged: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    said = []
    changed = [n for n, e in merged["problems"].items() if e != mine["problems"].get(n)]
    unsolved = [n for n in changed if not _passes(merged["problems"][n])]
    if unsolved:
        said.append(f"Further there than here: {', '.join(sorted(unsolved))}.")
    if merged.get("hints") != mine.get("hints"):
        said.append("Hints that were opened there are open here.")
    if left := len(theirs.get("resets", [])) - len(_resets_here(theirs)):
        said.append(f"{left} reset{'s' * (left > 1)} left out: the backups are not here.")
    return said


def _resets_here(theirs: dict[str, Any]) -> list[dict[str, str]]:
    backups = {
        path.relative_to(progress.FOLDER).as_posix()
        for path in (progress.FOLDER / "backups").rglob("*.py")
    }
    return [reset for reset in theirs.get("resets", []) if reset["backup"] in backups]


def _parsed(path: Path) -> tuple[dict[str, Any], Deck, Plan | None]:
    """What an export holds.

    Raises:
        UsageError: it is missing, or it is none.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise ValueError
        if data["version"] != VERSION:
            raise UsageError(
                f"{path} is of version {data['version']!r}, and this course reads {VERSION}: update the course"
            )
        plan = plans.parsed(data["plan"]) if "plan" in data else None  # an older course has none
        return _checked(data["progress"]), deck.parsed(data["review"]), plan
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"{path} is no file that `gpt2 progress export` wrote") from None


def _checked(data: Any) -> dict[str, Any]:
    """The same, if every entry has what is read of it; else ValueError, KeyError, TypeError or AttributeError."""
    progress.checked(data)
    entries = data["problems"].values()
    good = all(isinstance(e[key], kind) for e in entries for key, kind in _ENTRY.items())
    good &= all(isinstance(e.get("solved", 0), int) for e in entries)
    good &= all(isinstance(opened, int) for opened in data.get("hints", {}).values())
    good &= all(
        isinstance(r[key], str) for r in data.get("resets", []) for key in ("problem", "backup")
    )
    if not good:
        raise ValueError
    return data
