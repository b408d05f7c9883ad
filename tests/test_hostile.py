"""Submissions that mean harm: graded in one class, bounded, none gets what it did not earn."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import time
import zipfile
from functools import cache
from pathlib import Path

import pytest
from common.catalogue import ROOT, find

from common.grading import sandbox
from common.grading.marks import Weights, earned, read_weights, rounded

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="grading needs Linux")

HERE = Path(__file__).parent / "hostile"
CASES = sorted(path.stem for path in HERE.glob("*.txt"))
RIGHT = find(5).reference.read_text()
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
MARK = "sleep 987654"  # what a case leaves running, if it can


def head(name: str) -> dict[str, str]:
    """The lines at the top of a case: gets, says, problem."""
    lines = (HERE / f"{name}.txt").read_text().splitlines()
    found = (re.match(r"# (gets|says|problem): ?(.*)", line) for line in lines[:3])
    return {m[1]: m[2] for m in found if m}


def text(name: str, submissions: Path) -> str:
    """A case with the answers put in."""
    raw = (HERE / f"{name}.txt").read_text().replace("@ROOT@", str(ROOT))
    raw = raw.replace("@SUBMISSIONS@", str(submissions))
    return raw.replace("#: right", RIGHT).replace("#: wrong", WRONG)


# --- submissions that are no single file ----------------------------------------------------------


def _tar(path: Path, members: dict[str, bytes], links: dict[str, str] | None = None) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))
        for name, target in (links or {}).items():
            about = tarfile.TarInfo(name)
            about.type, about.linkname = tarfile.SYMTYPE, target
            archive.addfile(about)


def odd_ones(folder: Path) -> dict[str, tuple[float | None, str]]:
    """Make them; by student: points (None: whatever is right), and a pattern of what is said."""
    right, wanted = RIGHT.encode(), {}
    slug = "05-causal-masking"

    def place(name: str, points: float | None, says: str) -> Path:
        wanted[name] = (points, says)
        own = folder / name / slug
        own.mkdir(parents=True)
        return own

    (place("link_to_the_reference", 0, "link") / "solution.py").symlink_to(find(5).reference)
    (place("pipe", 0, "regular file") / "solution.py").parent.mkdir(exist_ok=True)
    os.mkfifo(folder / "pipe" / slug / "solution.py")
    (place("folder_for_a_file", 0, "folder") / "solution.py").mkdir()
    (place("not_utf8", 0, "not UTF-8") / "solution.py").write_bytes(b"x = '\xff\xfe'\n")
    (place("null_bytes", 0, "null byte") / "solution.py").write_bytes(b"x = 1\0\n")
    (place("empty_file", 0, "") / "solution.py").write_bytes(b"")
    with (place("two_hundred_megabytes", 0, "larger than") / "solution.py").open("wb") as file:
        file.truncate(200 << 20)
    dropped = place("dropped_modules", 10, "")
    (dropped / "solution.py").write_bytes(right)
    for name in (
        "conftest.py",
        "sitecustomize.py",
        "torch.py",
        "common.py",
        "pytest.py",
        "test_causal_masking.py",
    ):
        for parent in (dropped, dropped.parent):
            (parent / name).write_text("raise SystemExit('dropped')\n")
    (folder / "link_to_a_student").symlink_to(folder / "dropped_modules")
    wanted["link_to_a_student"] = (0, "link")
    (folder / "=HYPERLINK(1)<img src=x onerror=alert(1)>\x1b[31m").mkdir()
    wanted["=HYPERLINK(1)<img src=x onerror=alert(1)>"] = (0, "")
    (folder / "zip_slip.zip").touch()
    with zipfile.ZipFile(folder / "zip_slip.zip", "w") as archive:
        archive.writestr("../../../../tmp/slipped.py", "x")
        archive.writestr("/tmp/slipped.py", "x")
        archive.writestr(f"../zip_slip_victim/{slug}/solution.py", right)
    wanted["zip_slip"] = (0, "leads out of the archive")
    _tar(
        folder / "absolute_paths.tar.gz",
        {f"/{slug}/solution.py": right, f"../{slug}/solution.py": right},
    )
    wanted["absolute_paths"] = (0, "leads out of the archive")
    _tar(folder / "archived_link.tar.gz", {}, {f"{slug}/solution.py": str(find(5).reference)})
    wanted["archived_link"] = (0, "link")
    with zipfile.ZipFile(folder / "zip_bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{slug}/solution.py", b"#" * (300 << 20))
    wanted["zip_bomb"] = (0, "larger than")
    with gzip.open(folder / "tar_bomb.tar.gz", "wb", 1) as file:
        about = tarfile.TarInfo("filler")
        about.size = 1 << 40
        file.write(about.tobuf())
        for _ in range(300):
            file.write(bytes(1 << 20))
    wanted["tar_bomb"] = (0, "unpacks to more than|cannot be read|not an archive")
    (folder / "no_archive.zip").write_bytes(b"PK\x03\x04 nothing of the kind")
    wanted["no_archive"] = (0, "not an archive")
    _tar(folder / "good.tar.gz", {f"repo/problems/{slug}/solution.py": right})
    wanted["good"] = (10, "")
    return wanted


# --- what they should get -------------------------------------------------------------------------

_JUDGE = """
import json, sys
from pathlib import Path
from common.catalogue import find
from common.verdict import judge
verdict = judge(find(sys.argv[1]), Path(sys.argv[2]))
print(json.dumps([o.name for o in verdict.outcomes if o.status == "passed"]))
"""


@cache
def weights() -> Weights:
    return read_weights()


def judged(problem: str, file: Path) -> float:
    """What the checks alone give, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _JUDGE, problem, str(file)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return points_for(problem, json.loads(done.stdout.splitlines()[-1]))


def points_for(problem: str, passed: list[str]) -> float:
    """The points of these checks."""
    from common.collecting import checks_of
    from common.grading.examiner import free

    p = find(problem)
    shares = weights().shares(p, [c.name for c in checks_of(p)])
    return rounded(weights().points(p) * earned(shares, passed, free(p)))


Class = tuple[dict, dict[str, tuple[float | None, str]], Path]


@pytest.fixture(scope="module", params=["bwrap", "none"])
def graded(request: pytest.FixtureRequest, tmp_path_factory) -> Class:
    """All cases, graded in one class, with a right answer among them."""
    if request.param == "bwrap" and not sandbox.bubblewrap()[0]:
        pytest.skip(f"no sandbox here: {sandbox.bubblewrap()[1]}")
    folder = tmp_path_factory.mktemp("class")
    submissions = folder / "submissions"
    submissions.mkdir()
    wanted = odd_ones(submissions)
    for name in CASES:
        problem = find(head(name).get("problem", "05"))
        own = submissions / name / problem.name
        own.mkdir(parents=True)
        (own / "solution.py").write_text(text(name, submissions))
    command = [sys.executable, "-m", "common.cli", "grade", str(submissions), "--problems", "05,09"]
    command += [
        "--out",
        str(folder / "out"),
        "--seconds",
        "2",
        "--memory",
        "1024",
        "--workers",
        "2",
    ]
    start = time.monotonic()
    done = subprocess.run(
        [*command, "--sandbox", request.param],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    print(f"{time.monotonic() - start:.0f} s for {len(CASES) + len(wanted)} submissions")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    report = json.loads((folder / "out" / "report.json").read_text())
    return report, wanted, folder


def student(report: dict, name: str) -> dict:
    return next(s for s in report["students"] if s["name"] == name)


def said(found: dict) -> str:
    """Everything that the report says on a student."""
    lines = [*found["flags"], *found["notes"]]
    for own in found["problems"].values():
        lines += own["lines"]
        lines += [line for failed in own["failed"] for line in failed["lines"]]
    return re.sub(r"\s+", " ", " ".join(lines))


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> float:
    """What the wrong but harmless answer earns."""
    file = tmp_path_factory.mktemp("base") / "solution.py"
    file.write_text(WRONG)
    points = judged("05", file)
    assert 0 < points < 8
    return points


def test_there_are_enough_cases():
    assert len(CASES) >= 40


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_file_gets_what_it_earned_and_is_named(
    name: str, graded: Class, base: float, tmp_path: Path
):
    report, _, _ = graded
    about, found = head(name), student(report, name)
    points = found["points"]
    if about["gets"] == "nothing":
        assert points == 0
    elif about["gets"] == "at most base":
        assert points <= base
    elif about["gets"] == "base":
        assert points == base
    elif about["gets"] == "all":
        assert points == 10
    else:
        assert about["gets"] == "honest"
        file = tmp_path / "solution.py"
        file.write_text(text(name, tmp_path))
        assert points == judged("05", file)
    assert re.search(about["says"], said(found), re.S), said(found)


def test_an_odd_submission_gets_what_it_earned_and_is_named(graded: Class):
    report, wanted, _ = graded
    for name, (points, says) in wanted.items():
        found = student(report, name) if not name.startswith("=") else next(
            s for s in report["students"] if s["name"].startswith("=HYPERLINK")
        )  # fmt: skip
        assert points is None or found["points"] == points, (name, found)
        assert re.search(says, said(found)), (name, said(found))


def test_nothing_is_left_behind(graded: Class):
    _, _, folder = graded
    assert not Path("/tmp/slipped.py").exists()
    assert not (folder / "submissions" / "zip_slip_victim").exists()
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = (
                Path(f"/proc/{name}/cmdline")
                .read_bytes()
                .replace(b"\0", b" ")
                .decode(errors="replace")
            )
        except OSError:
            continue
        assert MARK not in command
        assert str(folder / "out") not in command, "a process of the run is still there"


def test_no_text_of_theirs_is_markup_formula_or_escape(graded: Class):
    _, _, folder = graded
    out = folder / "out"
    page = (out / "report.html").read_text()
    assert page.count("<script") == 1
    assert "<img" not in page
    for path in out.rglob("*"):
        if path.is_file() and ".work" not in path.parts:
            assert b"\x1b" not in path.read_bytes(), path
    for line in (out / "grades.csv").read_text().splitlines():
        assert not line.startswith(("=", "+", "-", "@", '"='))
