"""gpt2 author: a problem of one's own, in the checkout or in a folder elsewhere, with all that the course's have."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from common.authoring import rules
from common.course.catalogue import ROOT, Problem


@pytest.fixture
def own(tmp_path: Path, checkout: Path):
    """Runs the command with an instructor's own folder of problems, in a checkout of its own."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(checkout), "COLUMNS": "80", **variables}
        return subprocess.run(
            [sys.executable, "-m", "common.cli", "--course", "course", *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    return run


def test_a_problem_outside_of_the_checkout_gets_the_same(own, tmp_path: Path):
    made = own("author", "new", "77-double-it")
    assert made.returncode == 0, made.stderr
    folder = tmp_path / "course" / "problems" / "77-double-it"
    assert (tmp_path / "course/tests/right/77-double-it").is_dir()
    assert "gpt2 --course course author check 77 says" in made.stdout
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


def test_an_explanation_has_its_parts_and_shows_what_is_so(own, tmp_path: Path):
    own("author", "new", "77-double-it")
    problem = Problem("77-double-it", tmp_path / "course")
    file = problem.explanation
    assert file.read_text().startswith("# 77 · Double it, explained\n\n## Line by line\n")

    def said(shown: str, prose: str = "word " * 350) -> str:
        sections = f"## What it costs\n## Without it\n{shown}\n## As others do it\n## Sources\n"
        file.write_text(f"# 77 · Double it, explained\n## Line by line\n{prose}\n{sections}")
        asked = (rules.explanation_has_its_sections, rules.explanation_shows_it)
        return "\n".join(
            line for rule in (*asked, rules.texts_keep_the_voice) for line in rule(problem)
        )

    true = "```pycon\n>>> y = double_it(2)\n>>> y\n4\n```\n"
    assert not said(true)
    assert "an example of EXPLAINED.md does not run" in said(true.replace("4", "5"))
    assert "name 'y' is not defined" in said(true + "```pycon\n>>> y\n4\n```\n"), "each alone"
    assert '"Without it" shows nothing that runs' in said("")
    assert "words beside its code, not 300 to 900" in said(true, "few words")
    assert "EXPLAINED.md has an exclamation mark" in said(true, "word " * 350 + "now!")
    assert "the sections of EXPLAINED.md are" in said(true + "## And more\n")
    file.write_text(file.read_text().replace("Double it", "Twice"))
    assert "is not '# 77 · Double it, explained'" in rules.explanation_has_its_sections(problem)[-1]
    file.unlink()
    assert rules.explanation_has_its_sections(problem) == [
        "there is no EXPLAINED.md beside the reference"
    ]


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
    done = own("list")
    assert done.returncode == 2
    assert "holds no folder problems/" in done.stderr
    (tmp_path / "course" / "problems").mkdir(parents=True)
    done = own("list", GPT2_COURSE=str(tmp_path))
    assert done.returncode == 0, "the option goes before the variable"
    shutil.rmtree(tmp_path / "course")
    (tmp_path / "course").write_text("")
    assert "course is no folder" in own("author", "new", "77-double-it").stderr


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
    said = own("author", "check", "77", "--quick").stdout
    assert "line 1: an entry needs a sentence" in said
    assert "0 known mistakes, 0 right answers" in said


def test_which_line_is_gone_and_what_a_mistake_is_taken_for(own, tmp_path: Path):
    own("author", "new", "77-double-it")
    folder = tmp_path / "course" / "solutions" / "77-double-it"
    with (folder / "mistakes.diff").open("a") as file:
        file.write(
            "\n@@ the input is copied\n-    return 2 * x\n+    return x.clone()\n"
            "A sentence long enough to be one, and no more than that.\n"
            "@@ half is gone\n     # a line\n-    return 2 * x\n-    return y\n+    return x\n"
            "A sentence long enough to be one, and no more than that.\n"
        )
    reference = (folder / "solution.py").read_text()
    (folder / "solution.py").write_text(reference.replace("    return", "    # a line\n    return"))
    said = own("author", "check", "77", "--quick").stdout
    assert "mistake 'half is gone': 'return y' stands nowhere in the reference" in said
    copied = "mistake 'the input is copied': it is taken for 'the input comes back unchanged': add "
    assert copied + "`(same as: the input comes back unchanged)` to the sentence, or" in said
    assert "0 of 3 mistakes are named to a learner" in said


def test_a_problem_of_the_course_has_to_stand_in_its_lists(gpt2, checkout: Path):
    for name in ("README.md", "GRADING-TABLE.md"):
        shutil.copy(ROOT / name, checkout / name)
    for file, gone in {
        "README.md": r"\| \[05 .*?\n",
        "GRADING-TABLE.md": "the mask is a float matrix; ",
        "common/grading/requirements.toml": r'\["05".*?(?=\["06")',
    }.items():
        text, count = re.subn(gone, "", (checkout / file).read_text(), count=1, flags=re.S)
        assert count
        (checkout / file).write_text(text)
    said = gpt2("author", "check", "05", "--quick").stdout
    assert "no row for it: | [05 Causal masking](problems/05-causal-masking/README.md) | " in said
    assert "requirements.toml has no entry for 05" in said
    assert "GRADING-TABLE.md is out of date for " in said
    assert "make grading-table ARGS=05" in said
    assert " mistakes are named to a learner; silent: " in said
