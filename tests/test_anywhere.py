"""Any machine, any terminal, any file: what a new user's surroundings do to the command."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common.course.catalogue import ROOT, find

PROBLEM = find(5)
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "common").rglob("*.py")
    if path.name != "__main__.py"
)


def python(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def test_every_module_imports_where_posix_has_nothing():
    names = ("termios", "tty", "pty", "fcntl", "resource", "pwd", "grp")
    taken = f"import sys\nfor name in {names}: sys.modules[name] = None\n"
    code = (
        taken + "import importlib\n" + "".join(f"importlib.import_module({m!r})\n" for m in MODULES)
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr


def test_no_memory_of_the_interpreter_and_no_private_names_outside_of_one_place():
    allowed = {"internals.py", "memory.py"}  # memory.py asks the C library, not Python
    for path in (ROOT / "common").rglob("*.py"):
        if path.name in allowed or "grading" in path.parts:
            continue
        text = path.read_text(encoding="utf-8")
        for word in ("ctypes", "torch._", "import _pytest", "sys._", "gc.get_objects"):
            assert word not in text, f"{path}: {word}"


@pytest.mark.parametrize("change", ["crlf", "bom", "cr"])
def test_a_file_as_other_editors_save_it(gpt2, checkout: Path, change: str):
    data = PROBLEM.reference_text.encode()
    data = {
        "crlf": data.replace(b"\n", b"\r\n"),
        "cr": data.replace(b"\n", b"\r"),
        "bom": b"\xef\xbb\xbf" + data,
    }[change]
    (checkout / "problems" / PROBLEM.name / "solution.py").write_bytes(data)
    assert gpt2("check", "5").returncode == 0
    assert gpt2("diff", "5").returncode == 0


def test_a_file_that_is_not_utf8_can_be_reset_and_brought_back(gpt2, checkout: Path):
    file = checkout / "problems" / PROBLEM.name / "solution.py"
    file.write_bytes(b"x = '\xe9'\n")
    mode = file.stat().st_mode
    assert "line 1: not UTF-8" in gpt2("check", "5").stdout
    assert gpt2("reset", "5", "--yes").returncode == 0
    assert file.stat().st_mode == mode
    assert gpt2("undo", "5").returncode == 0
    assert file.read_bytes() == b"x = '\xe9'\n"
    assert "there is no reset of 05" in gpt2("undo", "05").stderr


def test_a_link_stays_a_link(gpt2, checkout: Path, tmp_path: Path):
    file = checkout / "problems" / PROBLEM.name / "solution.py"
    elsewhere = tmp_path / "elsewhere.py"
    elsewhere.write_text("x = 1\n")
    file.unlink()
    file.symlink_to(elsewhere)
    gpt2("reset", "5", "--yes")
    assert file.is_symlink()
    assert elsewhere.read_text() == PROBLEM.skeleton


def test_umlauts_and_spaces_in_the_path(gpt2, checkout: Path):
    moved = checkout.rename(checkout.with_name("Übungen für GPT-2"))
    done = subprocess.run(
        [sys.executable, "-m", "common.cli", "check", "05"], cwd=moved, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(moved)}, check=False,
    )  # fmt: skip
    assert "not written yet: causal_mask" in done.stdout, done.stderr


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else"
)
def test_a_checkout_that_cannot_be_written(checkout: Path):
    def as_nobody(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(checkout),
            "HOME": "/nonexistent",
            "NO_COLOR": "1",
        }
        return subprocess.run(
            [sys.executable, "-m", "common.cli", *arguments], cwd=checkout, env=environment, user=65534,
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    for folder in checkout.parents:
        if folder.stat().st_mode & 0o005 != 0o005:
            if not folder.is_relative_to("/tmp"):
                break
            folder.chmod(0o755)
    try:
        as_nobody("--version").check_returncode()
    except (PermissionError, subprocess.CalledProcessError):
        pytest.skip("Python lies where only root can read")
    checked = as_nobody("check", "05")
    assert "checks pass" in checked.stdout, checked.stderr
    assert "progress could not be written" in checked.stderr
    refused = as_nobody("author", "skeleton", "05")
    assert refused.returncode == 1
    assert "ermission denied" in refused.stderr
    assert "Traceback" not in refused.stderr + checked.stderr


def test_a_full_disk_loses_nothing(gpt2, checkout: Path):
    file = checkout / "problems" / PROBLEM.name / "solution.py"
    file.write_text("mine = 1\n")
    full = "import os, errno\ndef fsync(_): raise OSError(errno.ENOSPC, 'No space left on device')\nos.fsync = fsync\n"
    (checkout / "sitecustomize.py").write_text(full)
    done = gpt2("reset", "5", "--yes")
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert file.read_text() == "mine = 1\n"
    assert not list((checkout / "problems").rglob(".*.tmp*"))


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_tables_fit_the_terminal(checkout: Path, columns: int):
    environment = {**os.environ, "PYTHONPATH": str(checkout), "COLUMNS": str(columns)}
    for command in ([], ["list"], ["hint", "5"]):
        done = subprocess.run(
            [sys.executable, "-m", "common.cli", *command], cwd=checkout, env=environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        rows = [line for line in done.stdout.splitlines() if line.startswith(("  ·", "  …", "  ✓"))]
        assert all(len(line) <= columns for line in rows), rows


def test_colours_are_left_out_on_request_and_without_a_terminal(screen, checkout: Path, gpt2):
    assert "\x1b" not in gpt2("list").stdout
    terminal = screen("list")
    terminal.shows("01 Embeddings")
    assert terminal.ends() == 0


def test_breakpoint_in_a_terminal_and_without_one(screen, gpt2, checkout: Path):
    file = checkout / "problems" / PROBLEM.name / "solution.py"
    hole = "    return torch.ones(seq_len"
    file.write_text(PROBLEM.reference_text.replace(hole, "    breakpoint()\n" + hole))
    assert "calls breakpoint(), which needs a terminal of its own" in " ".join(
        gpt2("check", "5").stdout.split()
    )
    terminal = screen("check", "5", rows=60)
    terminal.shows("(Pdb)")
    terminal.press("seq_len * 1000\r")
    terminal.shows("1000")
    terminal.press("q\r")
    terminal.shows("interrupted")
    assert terminal.ends() == 130


def test_what_a_passing_run_prints_is_shown(gpt2, checkout: Path):
    file = checkout / "problems" / PROBLEM.name / "solution.py"
    file.write_text(PROBLEM.reference_text + "\nprint('loaded')\n")
    said = gpt2("check", "5")
    assert said.returncode == 0
    hole = "    return torch.ones(seq_len"
    file.write_text(PROBLEM.reference_text.replace(hole, "    print('here I am')\n" + hole))
    assert "here I am" in gpt2("check", "5").stdout


# --- plain watch


def plain_watch(checkout: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "common.cli", "watch", "5", "--plain"], cwd=checkout, text=True,
        env={**os.environ, "PYTHONPATH": str(checkout)}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def test_plain_watch_prints_one_report_after_another_and_goes_on(checkout: Path):
    process = plain_watch(checkout)
    assert process.stdout
    said = []

    def until(text: str) -> None:
        for line in process.stdout or ():
            said.append(line)
            if text in line:
                return
        raise AssertionError(f"{text!r} did not come: {said}")

    try:
        until("not written yet: causal_mask")
        file = checkout / "problems" / PROBLEM.name / "solution.py"
        file.write_text(PROBLEM.reference_text.replace(".tril()", ".tril(1)"))
        until("Cause: Your mask lets each token see")
        file.write_text(PROBLEM.reference_text)
        until("All")
        until("Now watching problems/06-feedforward/solution.py.")
        until("Not written yet.")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.communicate()


# --- how commands are typed


def test_what_is_printed_can_be_typed_there(checkout: Path, tmp_path: Path):
    def said(**environment: str) -> str:
        base = {k: v for k, v in os.environ.items() if k not in ("UV", "VIRTUAL_ENV")}
        done = subprocess.run(
            [sys.executable, "-m", "common.cli"], cwd=checkout, capture_output=True, text=True, check=True,
            env={**base, "PYTHONPATH": str(checkout), **environment},
        )  # fmt: skip
        return next(
            line.split("check  ")[1] for line in done.stdout.splitlines() if "  check " in line
        )

    scripts = Path(sys.executable).parent
    tool = tmp_path / "bin" / "uv"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    usual = f"{os.defpath}"
    assert said(PATH=usual) == f"{scripts}{os.sep}gpt2 check 01"
    assert said(PATH=f"{tool.parent}{os.pathsep}{usual}") == "uv run gpt2 check 01"
    assert said(PATH=f"{tool.parent}{os.pathsep}{usual}", UV=str(tool)) == "uv run gpt2 check 01"
    assert said(PATH=usual, UV=str(checkout / ".tools/bin/uv")) == ".tools/bin/uv run gpt2 check 01"
    if shutil.which("gpt2", path=str(scripts)):
        assert said(PATH=f"{scripts}{os.pathsep}{usual}") == "gpt2 check 01"


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("attn", "did you mean 02-attention-basics"),
        ("attention", "could be 02-attention-basics, 03-scaled-attention"),
        ("feedforward", ""), ("causal", ""), ("18-kv-cahe", "did you mean 18-kv-cache"),
        ("kv", "could be 18-kv-cache or interview-07-kv-cache: name one"),
    ],
)  # fmt: skip
def test_names_and_near_misses(gpt2, typed: str, says: str):
    done = gpt2("list", typed)
    assert done.returncode == (2 if says else 0)
    assert says in done.stderr


def test_version_and_completion(gpt2):
    assert gpt2("--version").stdout.startswith("gpt2 ")
    for shell in ("bash", "zsh"):
        script = gpt2("completion", shell).stdout
        assert "watch" in script
        assert "interview" in script
    assert gpt2("check", "5", "--mine").returncode == 1


def test_an_update_of_the_course_keeps_ones_solutions(tmp_path: Path):
    """The commands of the README, with a course that changed skeleton and tests meanwhile."""

    def git(*arguments: str, cwd: Path) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(
            ["git", *who, *arguments], cwd=cwd, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    course, mine = tmp_path / "course", tmp_path / "mine"
    file = Path("problems", PROBLEM.name, "solution.py")
    tests = Path("problems", PROBLEM.name, PROBLEM.tests[0].name)
    (course / file).parent.mkdir(parents=True)
    (course / file).write_text(PROBLEM.skeleton)
    (course / tests).write_text("old = 1\n")
    git("init", "-q", "-b", "main", cwd=course)
    git("add", "-A", cwd=course)
    git("commit", "-qm", "first", cwd=course)
    git("clone", "-q", str(course), str(mine), cwd=tmp_path)
    (mine / file).write_text(PROBLEM.reference_text)
    (course / file).write_text(
        PROBLEM.skeleton.replace("# TODO(05): about 6 lines", "# TODO(05): about 7 lines")
    )
    (course / tests).write_text("new = 1\n")
    git("commit", "-qam", "second", cwd=course)
    commands = [
        line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("git ")
    ]
    assert [c.split()[1] for c in commands] == ["commit", "pull"]
    for command in commands:
        git(*[part.strip('"') for part in command.split('"')[0].split()[1:]],
            *([command.split('"')[1]] if '"' in command else []), cwd=mine)  # fmt: skip
    assert (mine / file).read_text() == PROBLEM.reference_text
    assert (mine / tests).read_text() == "new = 1\n"
