"""Submissions that mean harm, graded in one class: none gets what it did not earn, nobody else is hurt."""

from __future__ import annotations

import ctypes
import gzip
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from common.cli import main
from common.course.catalogue import ROOT, find
from common.errors import CourseError
from common.grading.marks import read_scheme
from common.grading.rooms import Agents, why_no_sandbox
from common.grading.submissions import find_submissions
from common.judging import loading
from common.judging.collecting import checks_of
from common.judging.records import Status

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="grading needs Linux")

HERE = Path(__file__).parent / "hostile"
CASES = sorted(path.stem for path in HERE.glob("*.txt"))
PROBLEM = find(5)
RIGHT = PROBLEM.reference_text
MASK = """
import torch
def causal_mask(seq_len, device=None):
    return torch.ones(seq_len, seq_len, dtype=torch.bool, device=device).tril()
"""
WRONG = """
import torch
from torch import nn


def causal_mask(seq_len, device=None):
    return torch.ones(seq_len, seq_len, dtype=torch.bool, device=device)


class CausalSelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x):
        return self.c_proj(self.c_attn(x)[..., : x.shape[-1]])
"""
NEIGHBOURS = (
    "000-first",
    "fork_bomb-neighbour",
    "leaves_a_message_1-neighbour",
    "protocol_slowly-neighbour",
    "zzz-last",
)


@cache
def earned(text: str) -> float:
    """What an answer to problem 05 earns without any grading, in this process."""
    checks = checks_of(PROBLEM)
    module = loading.execute(text, PROBLEM.solution)
    passed = [c.name for c in checks if c.run(module).status == Status.PASSED]
    return float(
        sum(e.points for e in read_scheme().earned(PROBLEM, [c.name for c in checks], passed))
    )


def head(name: str) -> dict[str, str]:
    """What the top of a case says: its problem, and what it may earn at most."""
    lines = (HERE / f"{name}.txt").read_text().splitlines()[:3]
    return {m[1]: m[2] for line in lines if (m := re.match(r"# (problem|at most): ?(.*)", line))}


def allowed(name: str) -> float:
    text = (HERE / f"{name}.txt").read_text()
    if "at most" in head(name):
        return float(head(name)["at most"])
    if "#: right-mask" in text:
        return earned(MASK + WRONG.replace("def causal_mask", "def unused"))
    return 10.0 if "#: right" in text else earned(WRONG) if "#: wrong" in text else 0.0


def text_of(name: str, submissions: Path) -> str:
    raw = (
        (HERE / f"{name}.txt")
        .read_text()
        .replace("@ROOT@", str(ROOT))
        .replace("@SUBMISSIONS@", str(submissions))
    )
    return raw.replace("#: right-mask", MASK).replace("#: right", RIGHT).replace("#: wrong", WRONG)


# --- submissions that are no single file ----------------------------------------------------------


def tar(
    path: Path,
    members: dict[str, bytes],
    links: dict[str, str] | None = None,
    kind: bytes = tarfile.SYMTYPE,
) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))
        for name, target in (links or {}).items():
            about = tarfile.TarInfo(name)
            about.type, about.linkname = kind, target
            archive.addfile(about)


def zipped(path: Path, members: dict[str, str | bytes], kind: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


ODD: dict[str, float] = {}  # by the student's name: what it earns


def odd_archives(folder: Path) -> None:
    own = f"{PROBLEM.name}/solution.py"
    zipped(folder / "plain-zip.zip", {own: RIGHT})
    ODD["plain-zip"] = 10
    zipped(folder / "lzma-zip.zip", {own: RIGHT}, zipfile.ZIP_LZMA)
    data = bytearray((folder / "lzma-zip.zip").read_bytes())
    data[60:64] = b"\xff\xff\xff\xff"
    (folder / "lzma-zip.zip").write_bytes(data)
    ODD["lzma-zip"] = 0
    zipped(folder / "bomb-zip.zip", {own: b"#" * (1 << 26)})
    ODD["bomb-zip"] = 0
    zipped(
        folder / "outside-zip.zip",
        {f"../../{own}": RIGHT, f"/tmp/{own}": RIGHT, f"C:\\{own}": RIGHT},
    )
    ODD["outside-zip"] = 0
    zipped(folder / "many-zip.zip", {f"{i}.py": "" for i in range(20_001)}, zipfile.ZIP_STORED)
    ODD["many-zip"] = 0
    (folder / "cut-zip.zip").write_bytes((folder / "plain-zip.zip").read_bytes()[:-40])
    ODD["cut-zip"] = 0
    (folder / "empty-zip.zip").write_bytes(b"")
    ODD["empty-zip"] = 0
    (folder / "locked-zip.zip").write_bytes(
        (folder / "plain-zip.zip")
        .read_bytes()
        .replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01")
    )
    ODD["locked-zip"] = 0
    os.mkfifo(folder / "pipe-zip.zip")
    ODD["pipe-zip"] = 0
    tar(folder / "plain-tar.tar.gz", {own: RIGHT.encode()})
    ODD["plain-tar"] = 10
    tar(folder / "links-tar.tgz", {}, {own: str(PROBLEM.reference)})
    ODD["links-tar"] = 0
    tar(folder / "hard-links-tar.tgz", {}, {own: "/etc/passwd"}, tarfile.LNKTYPE)
    ODD["hard-links-tar"] = 0
    tar(folder / "devices-tar.tgz", {}, {own: ""}, tarfile.CHRTYPE)
    ODD["devices-tar"] = 0
    with gzip.open(folder / "bomb-tar.tar.gz", "wb") as file:
        for _ in range(300):
            file.write(bytes(1 << 20))
    ODD["bomb-tar"] = 0
    with zipfile.ZipFile(folder / "bomb-1k.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr(own, b"#" * (1 << 24))
    ODD["bomb-1k"] = 0


def odd_folders(folder: Path) -> None:
    def student(name: str, points: float) -> Path:
        ODD[name] = points
        place = folder / name / PROBLEM.name
        place.mkdir(parents=True)
        return place / "solution.py"

    student("a-link", 0).symlink_to(PROBLEM.reference)
    os.mkfifo(student("a-pipe", 0))
    student("a-folder", 0).mkdir()
    with socket.socket(socket.AF_UNIX) as place:
        os.chdir(student("a-socket", 0).parent)
        place.bind("solution.py")
        os.chdir(ROOT)
    student("two-mebibytes", 0).write_text(RIGHT + "#" * (2 << 20))
    student("latin-1", 0).write_bytes(RIGHT.encode() + "# é".encode("latin-1"))
    student("null-byte", 0).write_bytes(RIGHT.encode() + b"\0")
    student("utf-8-mark", 10).write_bytes(b"\xef\xbb\xbf" + RIGHT.replace("\n", "\r\n").encode())
    (folder / "a-linked-student").symlink_to(ROOT / "solutions")
    ODD["a-linked-student"] = 0
    deep = folder / "deep"
    here = os.open(folder, os.O_RDONLY)
    (deep).mkdir()
    os.chdir(deep)
    for _ in range(1500):
        os.mkdir("d")
        os.chdir("d")
    os.chdir(here)
    os.close(here)
    os.chdir(ROOT)
    ODD["deep"] = 0
    for name in ("=cmd|' C calc'!A0", "a;=1+1", "@SUM(1)", "<script>alert(1)<b>", "x" * 200, "\u202eevil", "two\nlines",
                 "--out", "05-causal-masking", "tab\t=1"):  # fmt: skip
        student(name, 10).write_text(RIGHT)
    os.mkdir(os.fsencode(folder) + b"/\xff\xfe no text")  # its row says so; the name is no UTF-8
    ODD[os.fsdecode(b"\xff\xfe no text")] = 0
    first = find_submissions(folder)[0]
    student(first.slug, 10).write_text(RIGHT)  # a folder that is called like another one's feedback


# --- the class -----------------------------------------------------------------------------------


def modes() -> list[str]:
    found = [] if why_no_sandbox() else ["bubblewrap"]
    try:
        Agents(sandbox=False).close()
        found.append("nothing")
    except CourseError:
        pass  # root alone can read this Python, so nobody else could run it
    return found


@pytest.fixture(scope="module", params=modes() if sys.platform == "linux" else [])
def graded(request) -> Iterator[tuple[dict, Path, str]]:
    """The report on all of them, the folder that it is in, and what shut them in."""
    above = Path(tempfile.mkdtemp(prefix="pytest-hostile-"))
    try:
        yield grade_all(above, request.param)
    finally:
        subprocess.run(
            ["rm", "-rf", above], check=True
        )  # Python's own way recurses, and there are deep folders


def grade_all(above: Path, mode: str) -> tuple[dict, Path, str]:
    folder, out = above / "class", above / "out"
    folder.mkdir()
    for name in CASES:
        place = folder / name / find(head(name).get("problem", "05")).name
        place.mkdir(parents=True)
        place.joinpath("solution.py").write_text(text_of(name, folder))
    for name in NEIGHBOURS:
        place = folder / name / PROBLEM.name
        place.mkdir(parents=True)
        place.joinpath("solution.py").write_text(RIGHT)
    odd_archives(folder)
    odd_folders(folder)
    before = places()
    adopt_orphans()
    asked = ",".join(sorted({"05", *(head(name).get("problem", "05") for name in CASES)}))
    options = ["--unsafe-no-sandbox"] if mode == "nothing" else []
    limits = ["--seconds", "2", "--memory", "768", "--workers", "2"]
    arguments = ["grade", str(folder), "--out", str(out), "--problems", asked, *limits, *options]
    before_it, tempfile.tempdir = tempfile.tempdir, tempfile.mkdtemp(prefix="pytest-hostile-")
    os.chmod(tempfile.tempdir, 0o755)  # an account that owns nothing has to get to its folder in it
    try:
        assert main(arguments) == 0
        os.rmdir(tempfile.tempdir)  # nothing was left in it
    finally:
        tempfile.tempdir = before_it
    report = json.loads((out / "report.json").read_text())
    return report | {"new": sorted(places() - before), "left": left_running()}, out, mode


def adopt_orphans() -> None:
    """From now on whatever loses its parent below this process becomes its child (PR_SET_CHILD_SUBREAPER)."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def left_running() -> list[str]:
    """The commands of this process's children that run still, once they have had the time to end."""
    for _ in range(100):
        listed = subprocess.run(
            ["ps", "--ppid", str(os.getpid()), "-o", "pid=,stat=,args="],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        children = [
            line.split(maxsplit=2) for line in listed.splitlines() if " ps --ppid" not in line
        ]
        for pid, stat, _ in children:
            if stat.startswith(
                "Z"
            ):  # an orphan that was adopted: namespaces end when their last process is waited for
                os.waitpid(int(pid), os.WNOHANG)
        found = [args for _, stat, args in children if not stat.startswith("Z")]
        if not found:
            break
        time.sleep(0.2)
    return found


def places() -> set[str]:
    """What lies where anybody may write."""
    return {
        str(p)
        for above in ("/tmp", "/dev/shm", "/var/tmp", "/run")
        for p in Path(above).glob("*")
        if "pytest" not in p.name
    }


def points(report: dict) -> dict[str, float]:
    return {student["name"]: student["points"] for student in report["students"]}


def test_everybody_has_a_result(graded):
    report, _, _ = graded
    names = [student["name"] for student in report["students"]]
    assert len(names) == len(CASES) + len(NEIGHBOURS) + len(ODD)
    assert len({student["file"] for student in report["students"]}) == len(names)


@pytest.mark.parametrize("name", CASES)
def test_no_case_gets_what_it_did_not_earn(graded, name: str):
    assert points(graded[0])[name] <= allowed(name) + 0.005


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_no_neighbour_is_hurt(graded, name: str):
    assert points(graded[0])[name] == 10


def test_odd_archives_and_folders_get_what_is_in_them(graded):
    from common.grading.summary import clean

    found = points(graded[0])
    assert {name: found[clean(name, 120)] for name in ODD} == ODD


def test_nothing_was_reached_that_should_not_be(graded):
    report, _, mode = graded
    leaks = {
        student["name"]: [
            line for p in student["problems"].values() for line in p["lines"] if "LEAK" in line
        ]
        for student in report["students"]
    }
    reached = {name: lines for name, lines in leaks.items() if lines}
    may = (
        set()
        if mode == "bubblewrap"
        else {"leaves_a_segment", "kills_every_number", "reads_the_neighbours", "new_namespaces"}
    )
    assert set(reached) <= may, reached


def test_nothing_is_left_behind(graded):
    report, _, _ = graded
    assert report["left"] == []
    theirs = {"written-by-a-submission", "gpt2-answer", "gpt2", "sem.gpt2", "tries"}
    assert not [path for path in report["new"] if Path(path).name in theirs]


def test_reports_are_clean(graded):
    _, out, _ = graded
    for name in ("grades.csv", "report.html", "report.json"):
        text = (out / name).read_text(encoding="utf-8")
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "<script>alert" not in text or name != "report.html"
    for line in (out / "grades.csv").read_text().splitlines():
        for cell in re.split(r"[,;\t]", line):
            assert not re.match(r'"?[=+@|%-]', cell), line


def test_every_student_has_a_file_of_feedback_and_nobody_elses(graded):
    report, out, _ = graded
    files = {path.stem for path in (out / "feedback").iterdir()}
    assert files == {student["file"] for student in report["students"]}
    for student in report["students"]:
        said = (out / "feedback" / f"{student['file']}.md").read_text().splitlines()[2]
        assert said.startswith(f"{student['points']:.2f} of")


def test_a_signal_without_a_name_is_told(graded):
    from common.grading.engine import _how
    from common.grading.rooms import Limits

    assert _how(-signal.SIGSEGV, Limits(), late=False) == "signal SIGSEGV"
    assert _how(-63, Limits(), late=False) == "signal 63"
