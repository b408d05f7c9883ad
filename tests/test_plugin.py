"""Whose file is tested, from where, and what a person reads: pytest as a learner runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from common.course.catalogue import ROOT, find, problems

PROBLEM = find(5)


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """pytest in a process of its own; any change of a tracked file is an error."""
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
    before = tracked()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert tracked() == before
    assert "Traceback" not in done.stdout + done.stderr
    return done


def tracked() -> dict[str, bytes]:
    return {p.name: p.solution.read_bytes() for p in problems() if p.solution.is_file()}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The reference of problem 05 in a file elsewhere."""
    file = tmp_path / "attempt.py"
    file.write_text(PROBLEM.reference_text)
    return file


def edited(copy: Path, find_text: str, put: str) -> str:
    text = copy.read_text()
    assert find_text in text
    copy.write_text(text.replace(find_text, put))
    return str(copy)


PLACES = {
    "the root": (ROOT, f"problems/{PROBLEM.name}"),
    "the problem's folder": (PROBLEM.folder, "."),
    "the problem's folder, no argument": (PROBLEM.folder, None),
    "a sibling": (ROOT / "solutions", f"../problems/{PROBLEM.name}"),
    "elsewhere": (Path("/"), str(PROBLEM.folder)),
    "the test file": (ROOT, str(PROBLEM.tests[0])),
}


@pytest.mark.parametrize("place", PLACES)
def test_the_same_result_from_everywhere(place: str, copy: Path):
    cwd, target = PLACES[place]
    file = edited(copy, ".tril()", ".tril(-1)")
    done = run(*([target] if target else []), "--solution", file, cwd=cwd)
    assert done.returncode == 1
    assert "Each token must see itself, but your mask closes the diagonal" in " ".join(
        done.stdout.split()
    )
    assert f"{file} (given)" in done.stdout


def test_the_reference_passes_and_the_head_says_whose_file_it_is():
    done = run("--reference", f"problems/{PROBLEM.name}")
    assert done.returncode == 0
    assert f"solutions/{PROBLEM.name}/solution.py (reference)\nAll" in done.stdout
    assert len(done.stdout.strip().splitlines()) <= 4


def test_a_folder_of_solutions_outside_the_repository(tmp_path: Path, copy: Path):
    folder = tmp_path / "student" / PROBLEM.name
    folder.mkdir(parents=True)
    shutil.copyfile(copy, folder / "solution.py")
    done = run(f"problems/{PROBLEM.name}", "--solutions", str(tmp_path / "student"))
    assert done.returncode == 0
    assert "(submitted)" in done.stdout
    missing = run("problems/04-multi-head-attention", "--solutions", str(tmp_path / "student"))
    assert missing.returncode == 1
    assert "there is no such file" in missing.stdout


HOLE = 'raise NotImplementedError("problem 05: causal_mask")'
BROKEN = {
    "a syntax error": ("scores = q @", "scores = (q @", ["line 39", "SyntaxError", "was never closed"]),
    "a missing class": ("class CausalSelfAttention", "class Attention", ["does not define", "CausalSelfAttention"]),
    "a wrong signature": ("def forward(self, x: Tensor)", "def forward(self, x, mask)", ["missing 1 required", "mask"]),
    "an unwritten part": ("return torch.ones", f"{HOLE} #", ["not written yet: causal_mask"]),
    "an exception inside": ("q @ k.mT", "q @ k", ["RuntimeError in", "line 39, in forward", "scores = q @ k /"]),
    "a wrong shape": ("merge_heads(weights @ v)", "(weights @ v)", ["mat1 and mat2", "5 is D and 15 is C"]),
    "no return": ("return self.resid_dropout", "self.resid_dropout", ["got      None", "without a return"]),
    "a wrong value": ("math.sqrt(q.size(-1))", "9.0", ["expected", "got", "sqrt(D)"]),
    "a missing import": ("import math", "import maths", ["line 6", "No module named 'maths'"]),
    "an exit at import": ("import math", "raise SystemExit(3)", ["line 6", "SystemExit: 3"]),
    "a null byte": ("import math", "\0", ["null byte"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_each_way_to_fail_reads_well(case: str, copy: Path):
    find_text, put, wanted = BROKEN[case]
    done = run(str(PROBLEM.folder), "--solution", edited(copy, find_text, put))
    assert done.returncode == 1
    flat = " ".join(done.stdout.split())
    for text in wanted:
        assert " ".join(text.split()) in flat, done.stdout
    lines = done.stdout.strip().splitlines()
    assert len(lines) <= 19, done.stdout
    assert max(map(len, lines)) <= 120  # the head names the file, wherever it lies
    assert "site-packages" not in done.stdout
    assert "Next: " in done.stdout


def test_a_file_that_is_not_utf8_a_folder_and_a_missing_file(tmp_path: Path):
    latin = tmp_path / "latin.py"
    latin.write_bytes(b"import math\nx = '\xe9'\n")
    for path, text in (
        (latin, "line 2: not UTF-8"),
        (tmp_path, "this is a folder"),
        (tmp_path / "no.py", "no such file"),
    ):
        done = run(str(PROBLEM.folder), "--solution", str(path))
        assert done.returncode == 1
        assert text in " ".join(done.stdout.split())


def test_wrong_usage_is_one_sentence_and_changes_nothing(copy: Path):
    several = run("--solution", str(copy))
    assert several.returncode == 4
    assert "tests one file against one problem" in several.stderr + several.stdout
    both = run("--reference", "--solutions", str(copy.parent), f"problems/{PROBLEM.name}")
    assert both.returncode == 4
    assert "exclude each other" in both.stderr
    nowhere = run("--solutions", str(copy.parent / "nothing"))
    assert nowhere.returncode == 4
    assert "no such folder" in nowhere.stderr
    unknown = run("problems/99-nothing")
    assert unknown.returncode == 4
    device = run(f"problems/{PROBLEM.name}", "--reference", "--device", "warp")
    assert device.returncode == 4
    assert "--device warp" in device.stdout + device.stderr


def test_pytests_own_output_comes_back_on_request(copy: Path):
    done = run(str(PROBLEM.folder), "--solution", edited(copy, ".tril()", ".tril(1)"), "--tb=short")
    assert "FAILURES" in done.stdout


def test_without_the_plugin_one_sentence_says_what_to_do():
    done = run("-p", "no:gpt2", f"problems/{PROBLEM.name}")
    assert done.returncode == 4
    assert "uv run pytest" in done.stderr + done.stdout


def test_untouched_skeletons_are_not_written_yet(tmp_path: Path):
    for problem in (PROBLEM, find(4)):
        (tmp_path / problem.name).mkdir()
        (tmp_path / problem.name / "solution.py").write_text(problem.skeleton)
    done = run(
        f"problems/{PROBLEM.name}", "problems/04-multi-head-attention", "--solutions", str(tmp_path)
    )
    assert done.returncode == 1
    assert done.stdout.lower().count("not written yet") >= 2
    assert "FAILED" not in done.stdout


def test_mine_builds_on_the_files_under_test_all_the_way_down(tmp_path: Path):
    for number in range(1, 13):
        problem = find(number)
        (tmp_path / problem.name).mkdir()
        shutil.copyfile(problem.reference, tmp_path / problem.name / "solution.py")
    model = f"problems/{find(10).name}"
    assert run(model, "--solutions", str(tmp_path), "--mine", "-m", "not slow").returncode == 0
    broken = tmp_path / PROBLEM.name / "solution.py"
    broken.write_text(broken.read_text().replace(".tril()", ".tril(1)"))
    assert run(model, "--solutions", str(tmp_path), "-m", "not slow").returncode == 0
    mine = run(model, "--solutions", str(tmp_path), "--mine", "-m", "not slow")
    assert mine.returncode == 1
    assert "earlier parts from the same place" in mine.stdout
    broken.write_text("import math\n1 /\n")
    unloadable = run(model, "--solutions", str(tmp_path), "--mine", "-m", "not slow")
    assert unloadable.returncode == 1
    assert f"{PROBLEM.name}/solution.py, line 2: SyntaxError" in "".join(
        unloadable.stdout.split("\n  ")
    )
