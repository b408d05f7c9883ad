"""gpt2 author: a problem of one's own, in the checkout or in a folder elsewhere, with all that the course's have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def own(tmp_path: Path, checkout: Path):
    """Runs the command with an instructor's own folder of problems, in a checkout of its own."""
    (tmp_path / "course" / "problems").mkdir(parents=True)

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(checkout), "COLUMNS": "80", **variables}
        return subprocess.run(
            [sys.executable, "-m", "common.cli", "--course", str(tmp_path / "course"), *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    return run


def test_a_problem_outside_of_the_checkout_gets_the_same(own, tmp_path: Path):
    made = own("author", "new", "77-double-it")
    assert made.returncode == 0, made.stderr
    folder = tmp_path / "course" / "problems" / "77-double-it"
    assert "77 Double it" in own("list", "77").stdout
    waiting = own("check", "77")
    assert waiting.returncode == 1
    assert "Not written yet." in waiting.stdout
    solution = folder / "solution.py"
    skeleton = solution.read_text()
    hole = 'raise NotImplementedError("problem 77: double_it")'
    assert hole in skeleton
    solution.write_text(skeleton.replace(hole, "return x"))
    wrong = own("check", "double-it")
    assert "Cause: The output is the input itself: nothing was computed." in wrong.stdout
    solution.write_text(skeleton.replace(hole, "return x + x"))
    right = own("check", "77")
    assert right.returncode == 0, right.stdout
    assert "passes" in own("list", "77").stdout


def test_what_a_new_problem_lacks_is_told_in_one_report(own):
    own("author", "new", "77-double-it")
    said = own("author", "check", "77", "--quick")
    assert said.returncode == 1
    assert "the README has" in said.stdout
    assert "there are 0 right answers in tests/right/77-double-it, not at least 3" in said.stdout
    assert "there are 1 known mistakes, not at least 8" in said.stdout
    assert "Traceback" not in said.stdout + said.stderr


def test_pytest_tests_it_too(own, tmp_path: Path, checkout: Path):
    own("author", "new", "77-double-it")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "course/problems/77-double-it", "--solution",
         "course/solutions/77-double-it/solution.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "GPT2_COURSE": str(tmp_path / "course"), "PYTHONPATH": str(checkout)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All 2 checks pass." in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("new", "nonsense"), "is no name like 19-rotary-embeddings"),
        (("new", "05-again"), "05 is 05-causal-masking already"),
        (("new",), "give one name"),
        (("check",), "name a problem"),
    ],
)
def test_slips_are_told(own, arguments: tuple[str, ...], says: str):
    done = own("author", *arguments)
    assert done.returncode == 2
    assert says in done.stderr


def test_a_folder_that_is_no_course_is_told(own, tmp_path: Path):
    done = own("list", GPT2_COURSE=str(tmp_path))
    assert done.returncode == 0, "the option goes before the variable"
    (tmp_path / "course" / "problems").rmdir()
    done = own("list")
    assert done.returncode == 2
    assert "holds no folder problems/" in done.stderr


def test_a_mistake_that_no_longer_applies_is_the_authors_business(own, tmp_path: Path):
    own("author", "new", "77-double-it")
    entries = tmp_path / "course" / "solutions" / "77-double-it" / "mistakes.diff"
    with entries.open("a") as file:
        file.write(
            "\n@@ gone\n-    z = 3 * y\n+    z = y\n"
            + "A sentence long enough to be one, and no more than that.\n"
        )
        file.write(
            "@@ broken\n-    return 2 * x\n+    return (\n"
            + "A sentence long enough to be one, and no more than that.\n"
        )
    (tmp_path / "course/problems/77-double-it/solution.py").write_text(
        "def double_it(x):\n    return x\n"
    )
    report = own("check", "77")
    assert "Cause: The output is the input itself" in report.stdout
    assert "Traceback" not in report.stdout + report.stderr
    said = own("author", "check", "77", "--quick").stdout
    assert "mistake 'gone': " in said
    assert "stands nowhere in the reference" in said
    assert "mistake 'broken': " in said
    entries.write_text("@@ nothing to read\n-x\n+y\n")
    assert own("check", "77").returncode == 1
    assert "line 1: an entry needs a sentence" in own("author", "check", "77", "--quick").stderr
