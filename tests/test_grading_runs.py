"""Whole runs of `gpt2 grade`: a small class, a run that is killed, a machine without a sandbox, a cluster."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from common.course.catalogue import ROOT, find
from common.course.mistakes import known
from common.grading import rooms
from common.grading.engine import _how

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="grading needs Linux")

KEYS = ("02", "05")
SANDBOX = [] if sys.platform == "linux" and not rooms.why_no_sandbox() else ["--unsafe-no-sandbox"]
ANSWERS = {
    "ada": lambda p: p.reference_text,
    "bob": lambda p: known(p)[0].apply(p.reference_text),
    "eve": lambda p: p.skeleton,
    "sam": lambda p: "import os\nos._exit(3)\n",
    "tom": lambda p: p.reference_text + "\nx = 1\n",
    "zoe": lambda p: known(p)[-1].apply(p.reference_text),
}


needs_rooms = pytest.mark.usefixtures("sandbox")  # which skips where no submission can be run


def make(folder: Path) -> None:
    """A class of six."""
    for name, answer in ANSWERS.items():
        for key in KEYS:
            place = folder / "class" / name / find(key).name
            place.mkdir(parents=True)
            place.joinpath("solution.py").write_text(answer(find(key)))


def command(folder: Path, *more: str, out: str = "out") -> list[str]:
    return [sys.executable, "-m", "common.cli", "grade", str(folder / "class"), "--out", str(folder / out),
            "--problems", ",".join(KEYS), "--workers", "1", *SANDBOX, *more]  # fmt: skip


def grade(folder: Path, *more: str, out: str = "out") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, *more, out=out), cwd=ROOT, capture_output=True, text=True, check=False
    )


def report_of(folder: Path, out: str = "out") -> dict[str, Any]:
    return json.loads((folder / out / "report.json").read_text())


def points(folder: Path) -> dict[str, list[float]]:
    return {
        s["name"]: [p["points"] for p in s["problems"].values()]
        for s in report_of(folder)["students"]
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """A class that was graded."""
    folder = tmp_path_factory.mktemp("undisturbed")
    make(folder)
    done = grade(folder, "--format", "junit")
    assert done.returncode == 0, done.stderr
    assert "look at sam: 02: its process ended: exit code 3" in done.stdout
    return folder


@contextlib.contextmanager
def begun(arguments: list[str], journal: Path, lines: int) -> Generator[subprocess.Popen[Any]]:
    """A run, as soon as its journal has so many lines."""
    process = subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: journal.exists() and journal.read_bytes().count(b"\n") >= lines, process)
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(met: Callable[[], bool], process: subprocess.Popen[Any]) -> None:
    while not met():
        assert process.poll() is None, "it ended before"
        time.sleep(0.02)


@needs_rooms
def test_a_class_gets_what_it_earned(undisturbed: Path):
    found = points(undisturbed)
    assert found["ada"] == found["tom"] == [10, 10]
    assert found["eve"] == found["sam"] == [0, 0]
    assert all(0 <= p < 10 for p in found["bob"] + found["zoe"])
    students = {s["name"]: s for s in report_of(undisturbed)["students"]}
    assert [n for n, s in students.items() if s["flags"]] == ["sam"]
    assert students["bob"]["problems"]["05"]["cause"]
    assert (undisturbed / "out" / "junit.xml").is_file()


@needs_rooms
def test_a_second_run_grades_nobody_and_one_who_is_named_alone(undisturbed: Path):
    journal = undisturbed / "out" / ".work" / "journal.jsonl"
    before, page = journal.read_bytes(), (undisturbed / "out" / "report.html").read_bytes()
    assert grade(undisturbed).returncode == 0
    assert journal.read_bytes() == before
    assert (undisturbed / "out" / "report.html").read_bytes() == page
    assert grade(undisturbed, "--only", "ada:05").returncode == 0
    assert journal.read_bytes().count(b"\n") == before.count(b"\n") + 1
    assert points(undisturbed)["ada"] == [10, 10]
    assert "no student is called 'nobody'" in grade(undisturbed, "--only", "nobody").stderr


@needs_rooms
def test_a_run_that_is_killed_twice_gives_what_an_undisturbed_one_gives(
    undisturbed: Path, tmp_path: Path
):
    make(tmp_path)
    work = tmp_path / "out" / ".work"
    work.mkdir(parents=True)
    (work / "secret").write_text((undisturbed / "out" / ".work" / "secret").read_text())
    for lines in (2 * len(KEYS) + 2, 2 * len(KEYS) + 6):
        with begun(command(tmp_path), work / "journal.jsonl", lines) as process:
            process.send_signal(signal.SIGKILL)
        with (work / "journal.jsonl").open("ab") as file:
            file.write(b'{"key": "cut off in the mid')
    before = (work / "journal.jsonl").read_bytes().splitlines()[:-1]
    assert grade(tmp_path).returncode == 0
    after = (work / "journal.jsonl").read_bytes().splitlines()
    assert after[: len(before)] == before
    assert report_of(tmp_path) == report_of(undisturbed)


@needs_rooms
def test_ctrl_c_ends_a_run_in_a_word_and_leaves_nothing(tmp_path: Path):
    make(tmp_path)
    journal = tmp_path / "out" / ".work" / "journal.jsonl"
    process = subprocess.Popen(
        command(tmp_path), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    wait_for(
        lambda: journal.exists() and journal.read_bytes().count(b"\n") > 2 * len(KEYS), process
    )
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "interrupted" in said
    assert "Traceback" not in said


def test_without_bubblewrap_it_says_so_and_grades_only_when_told(tmp_path: Path, monkeypatch):
    make(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    done = grade(tmp_path)
    if not SANDBOX:
        assert done.returncode == 1
        assert "bubblewrap is not installed (apt-get install bubblewrap)" in done.stderr
        assert "--unsafe-no-sandbox" in done.stderr
    done = grade(tmp_path, "--unsafe-no-sandbox")
    assert "WITHOUT A SANDBOX (it was asked for)" in done.stderr
    if done.returncode:
        assert "can be read by root alone" in done.stderr  # Python itself: nobody else could run it
    else:
        assert points(tmp_path)["ada"] == [10, 10]
        assert "NO SANDBOX" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("status", "says"),
    [(-signal.SIGSEGV, "signal SIGSEGV"), (-63, "signal 63"), (3, "exit code 3"), (None, "it took its room along"),
     (-signal.SIGXCPU, "no end after 20 seconds of computing")],
)  # fmt: skip
def test_how_a_process_ended_is_told(status: int | None, says: str):
    assert says in _how(status, rooms.Limits(), late=False)
    assert "no end after 50 seconds on the clock" in _how(status, rooms.Limits(), late=True)


# --- a cluster ------------------------------------------------------------------------------------


@pytest.mark.slow
@needs_rooms
def test_a_cluster_that_loses_a_worker_gives_what_one_machine_gives(
    undisturbed: Path, tmp_path: Path
):
    pytest.importorskip("distributed")
    make(tmp_path)
    work, contact = tmp_path / "out" / ".work", tmp_path / "scheduler.json"
    work.mkdir(parents=True)
    (work / "secret").write_text((undisturbed / "out" / ".work" / "secret").read_text())
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "120s",
    }
    dask = str(Path(sys.executable).with_name("dask"))

    def start(*arguments: str) -> subprocess.Popen[Any]:
        return subprocess.Popen(
            [dask, *arguments, "--scheduler-file", str(contact)], cwd=tmp_path, env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    started = [start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")]
    try:
        wait_for(contact.exists, started[0])
        started += [
            start("worker", "--nthreads", "1", "--no-nanny", "--no-dashboard") for _ in range(2)
        ]
        address = json.loads(contact.read_text())["address"]
        from distributed import Client

        with Client(address, timeout="120s", set_as_default=False) as client:
            client.wait_for_workers(2)
        with begun(
            command(tmp_path, "--cluster", address), work / "journal.jsonl", 2 * len(KEYS) + 1
        ) as process:
            started[1].kill()
            assert process.wait() == 0
    finally:
        for each in started:
            each.kill()
            each.wait()
    assert [s["problems"] for s in report_of(tmp_path)["students"]] == [
        s["problems"] for s in report_of(undisturbed)["students"]
    ]
