"""gpt2 demo: it learns, it writes, it leaves nothing behind, and it can be stopped at any time."""

from __future__ import annotations

import signal
from pathlib import Path

from common.cli.train_view import on_a_line

SHORT = ("--seconds", "2")


def files(folder: Path) -> set[Path]:
    return {p for p in folder.rglob("*") if "__pycache__" not in p.parts}


def test_it_learns_and_writes_where_nobody_can_type(gpt2, checkout: Path, tmp_path, monkeypatch):
    aside = tmp_path / "aside"
    aside.mkdir()
    monkeypatch.setenv("TMPDIR", str(aside))
    before = files(checkout)
    done = gpt2("demo", *SHORT)
    assert done.returncode == 0, done.stderr
    assert "Step 0, Train loss: 10.8" in done.stdout
    assert ". training   o validation" in done.stdout
    assert "At step 0 it wrote:  The tide" in done.stdout
    assert "Now it writes:  The tide" in done.stdout
    assert "\nMy father" in done.stdout
    assert "05 Causal masking" in done.stdout
    assert "gpt2 watch" in done.stdout
    assert "> " not in done.stdout.split("Now it writes")[1], "it asks nobody"
    assert files(checkout) == before
    assert not [*aside.glob("gpt2-demo-*")]


def test_what_cannot_be_is_said(gpt2):
    done = gpt2("demo", "--seconds", "0")
    assert done.returncode == 2
    assert "--seconds must be above 0, not 0" in done.stderr


def test_one_can_ask_it_to_write_and_leave(screen):
    opened = screen("demo", *SHORT, rows=60)
    opened.shows("q leaves.")
    opened.press("Zebra crossings\r")
    assert opened.shows("Zebra crossings").count("Zebra crossings") >= 1
    opened.press("q\r")
    opened.shows("What to do next")
    assert opened.ends() == 0


def test_ctrl_c_ends_it_while_it_trains_and_where_it_asks(screen):
    training = screen("demo", rows=60)
    training.shows("Step 0")
    training.process.send_signal(signal.SIGINT)
    training.shows("stopped; nothing is left of it")
    assert training.ends() == 130
    asking = screen("demo", *SHORT, rows=60)
    asking.shows("q leaves.")
    asking.process.send_signal(signal.SIGINT)
    asking.shows("What to do next")
    assert asking.ends() == 0


def test_what_a_new_model_writes_moves_no_cursor():
    assert on_a_line("The\n tide \x1b[2J\x07") == "The tide \ufffd[2J\ufffd"
