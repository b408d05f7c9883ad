"""Watching for saved files: no save is missed, not even one made while watching begins."""

from __future__ import annotations

import select
from pathlib import Path

from common.cli import saves
from common.cli.saves import Saves


def readable(watched: Saves, seconds: float) -> bool:
    return bool(select.select([watched], [], [], seconds)[0])


def test_it_wakes_its_caller_once_when_watching_has_begun(tmp_path: Path):
    watched = Saves([tmp_path])
    try:
        assert readable(watched, 10)
        assert watched.take() == set()
        assert not readable(watched, 1.2), "nothing changed"
        (tmp_path / "solution.py").write_text("x = 1\n")
        assert readable(watched, 10)
        assert {path.name for path in watched.take()} == {"solution.py"}
    finally:
        watched.close()


def test_a_save_while_watching_is_set_up_wakes_its_caller_too(tmp_path: Path, monkeypatch):
    real = saves.watch

    def late(*folders: Path, **options):
        (tmp_path / "solution.py").write_text("x = 1\n")  # saved, and nobody is watching yet
        yield from real(*folders, **options)

    monkeypatch.setattr(saves, "watch", late)
    watched = Saves([tmp_path])
    try:
        assert readable(watched, 10)
    finally:
        watched.close()
