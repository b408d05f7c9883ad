"""A hunt for a class: a course of its own with one problem in it, which `gpt2 grade` grades like any other."""

from __future__ import annotations

from pathlib import Path

from common.course.catalogue import shown
from common.errors import UsageError
from common.files import write_atomically
from common.hunting.composing import Hunt
from common.judging.records import function_of

NAME = "60-find-the-bugs"
_POINTS = 10
_BROKEN = 1  # of them for what was right and still is


def hand_out(hunt: Hunt, folder: Path) -> None:
    """Write the course: the planted file as what a student starts from, and what mending each bug is worth.

    Raises:
        UsageError: the folder is there already and holds something.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{shown(folder)} is there already: name a new folder")
    problem, answers = folder / "problems" / NAME, folder / "solutions" / NAME
    for test in hunt.problem.tests:
        write_atomically(problem / test.name, test.read_bytes())
    title, _, rest = hunt.problem.readme.text.partition("\n")
    count = "one bug" if len(hunt.planted) == 1 else f"{len(hunt.planted)} bugs"
    lead = f"# 60 · Find the bugs\n\nThere {'is' if count == 'one bug' else 'are'} {count} in `solution.py`."
    lead += " What follows is what the file is meant to do. Mend it, and leave the rest as it is."
    write_atomically(problem / "README.md", f"{lead}\n\n#{title}\n{rest}")
    write_atomically(problem / "solution.py", hunt.text)
    write_atomically(answers / "given.py", hunt.text)
    write_atomically(answers / "solution.py", hunt.clean)
    write_atomically(folder / "requirements.toml", "\n".join(_requirements(hunt)))


def _requirements(hunt: Hunt) -> list[str]:
    """What each bug is worth, for --requirements; a single one is worth all."""
    lines = [f"# Level {hunt.level}, seed {hunt.seed}.", ""]
    share = (_POINTS - _BROKEN) / len(hunt.planted)
    for number, bug in enumerate(hunt.planted, 1):
        if own := hunt.own_checks(bug):
            tests = sorted(set(map(function_of, own)))
            lines += [
                f'["60".bug{number}]',
                f"title = {_quoted(f'Line {hunt.line(bug)}: {bug.name}')}",
                f"points = {share:g}",
                f"tests = [{', '.join(map(_quoted, tests))}]",
            ]
    broken = _BROKEN if len(lines) > 2 else _POINTS
    title = "Nothing that was right is broken" if len(lines) > 2 else "It works"
    return [*lines, '["60".rest]', f"title = {_quoted(title)}", f"points = {broken}", ""]


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
