"""A run on the disk: a folder with checkpoints, of which two names point to the last and the best.

RUN/step-00000120/config.json, model.safetensors     as Hugging Face lays them out
                  optimizer.safetensors              moments, and the states of random generators
                  state.json                         step, settings, best loss so far
RUN/last, RUN/best                                   the names of two of these folders
RUN/history.jsonl                                    a record for each look at the losses, the first at step 0
RUN/now.json                                         where it is between two of them
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common.config import GPT2Config
from common.course.catalogue import ROOT, shown
from common.errors import CourseError
from common.files import write_atomically
from common.shell import gpt2
from common.train.settings import Settings

RUNS = ROOT / "checkpoints"
Record = dict[str, Any]


@dataclass
class State:
    """Everything beside the weights that a run needs to go on as if it had never stopped."""

    step: int
    settings: Settings
    total: int = 0  # steps of the whole run
    best: float = float("inf")
    tokens: int = 0
    seconds: float = 0.0

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"


def read_state(folder: Path) -> State:
    """What a checkpoint's state.json says.

    Raises:
        CourseError: it is missing or damaged.
    """
    try:
        data = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        return State(**data | {"settings": Settings.from_json(data["settings"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CourseError(f"{folder / 'state.json'} cannot be read ({error})") from None


def pointed(run: Path, which: str) -> Path | None:
    """The checkpoint that `last` or `best` names, if it is there."""
    try:
        folder = run / (run / which).read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return folder if (folder / "state.json").is_file() else None


def point(run: Path, name: str, *, best: bool) -> None:
    """Let `last` (and `best`) name a checkpoint; those that nothing names are removed."""
    write_atomically(run / "last", name + "\n")
    if best:
        write_atomically(run / "best", name + "\n")
    kept = {pointed(run, which) for which in ("last", "best")}
    for folder in [*run.glob("step-*"), *run.glob(".step-*")]:
        if folder not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def checkpoint_in(place: Path, which: str = "best") -> Path:
    """A folder with weights: the place itself, or a checkpoint of the run that it holds.

    Raises:
        CourseError: there is none.
    """
    if (place / "config.json").is_file():
        return place
    for name in (which, "last", "best"):
        if folder := pointed(place, name):
            return folder
    raise CourseError(f"there is no checkpoint in {shown(place)}: {gpt2('train')} makes one")


def latest_run(root: Path = RUNS, *, to_resume: bool = False) -> Path:
    """The run that was written to last; unless it is to be resumed, one that came to its end goes before others.

    Raises:
        CourseError: there is none.
    """
    found = sorted(root.glob("*/last"), key=lambda p: p.stat().st_mtime)
    runs = [p.parent for p in found if pointed(p.parent, "last")]
    if not runs:
        raise CourseError(f"there is no checkpoint in {shown(root)}: {gpt2('train')} makes one")
    whole = [] if to_resume else [run for run in runs if is_finished(run)]
    return (whole or runs)[-1]


def is_finished(run: Path) -> bool:
    """Whether the run came to its end."""
    folder = pointed(run, "last")
    try:
        state = read_state(folder) if folder else None
    except CourseError:
        return False
    return state is not None and state.step >= state.total > 0


def set_aside(run: Path) -> Path | None:
    """Move an earlier run of the same name out of the way; where it is now."""
    if not (run / "last").exists():
        return None
    number = 1
    while (old := run.with_name(f"{run.name}.{number}")).exists():
        number += 1
    shutil.move(run, old)
    return old


def read_config(folder: Path) -> GPT2Config:
    """The shape that a config.json describes.

    Raises:
        CourseError: it is missing, damaged, or describes no GPT-2.
    """
    try:
        data: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        names = GPT2Config.__dataclass_fields__
        return GPT2Config(**{name: data[name] for name in names if name in data})
    except (OSError, ValueError, TypeError) as error:
        raise CourseError(f"{folder / 'config.json'} cannot be read ({error})") from None


def read_history(run: Path) -> list[Record]:
    """The records so far; a last line that was cut off by a crash is left out."""
    records: list[Record] = []
    try:
        lines = (run / "history.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records


def write_history(run: Path, records: list[Record]) -> None:
    """All records anew, atomically."""
    write_atomically(run / "history.jsonl", "".join(json.dumps(r) + "\n" for r in records))
