"""The command, as a learner types it, in a checkout of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.course.catalogue import find
from common.judging.report import wrapped

PROBLEM = find(5)


def solve(checkout: Path, number: int) -> Path:
    problem = find(number)
    file = checkout / "problems" / problem.name / "solution.py"
    file.write_text(problem.reference_text)
    return file


def test_a_fresh_checkout_says_where_to_begin(gpt2):
    done = gpt2()
    assert done.returncode == 0
    assert "0 of" in done.stdout
    assert f"read   problems/{find(1).name}/README.md" in done.stdout
    assert "passes" not in done.stdout


def test_a_problem_goes_from_not_started_to_passes_and_becomes_stale_with_an_edit(gpt2, checkout):
    def row(output: str) -> str:
        return next(line for line in output.splitlines() if PROBLEM.title in line)

    assert "not started" in row(gpt2("list").stdout)
    file = solve(checkout, 5)
    text = file.read_text()
    file.write_text(text.replace("masked_fill", "masked_fil"))
    assert "not checked yet" in row(gpt2("list").stdout)
    failing = gpt2("check", "5")
    assert failing.returncode == 1
    listed = gpt2("list").stdout
    assert "in progress" in row(listed)
    assert "checks pass" in row(listed)
    assert "causal_mask: passes" in listed
    assert "CausalSelfAttention: in progress" in listed
    file.write_text(text)
    assert gpt2("check", "05").returncode == 0
    assert "passes" in row(gpt2("list").stdout)
    assert "1 of" in gpt2().stdout
    file.write_text(text + "\n# an afterthought\n")
    assert "changed since it passed" in row(gpt2("list").stdout)
    assert gpt2("check", PROBLEM.name).returncode == 0
    tests = checkout / "problems" / PROBLEM.name / PROBLEM.tests[0].name
    tests.write_text(tests.read_text() + "\n")
    assert "changed since it passed" in row(gpt2("list").stdout)


def test_check_without_a_number_takes_the_first_unsolved(gpt2, checkout):
    assert find(1).title in gpt2("check").stdout
    solve(checkout, 1)
    assert gpt2("check").returncode == 0
    assert find(2).title in gpt2("check").stdout


def test_hints_open_one_by_one(gpt2):
    titles = [hint.title for hint in PROBLEM.readme.hints]
    first, second, third, fourth = (gpt2("hint", "5").stdout for _ in range(4))
    assert titles[0] in first
    assert "2 more hints" in first
    assert titles[1] in second
    assert titles[0] not in second
    assert titles[2] in third
    assert "last hint" in third
    assert titles[2] in fourth
    again = gpt2("hint", "5", "--again").stdout
    assert all(title in again for title in titles)


def test_the_reference_is_shown_after_a_pass_or_with_spoil(gpt2, checkout):
    refused = gpt2("diff", "5")
    assert refused.returncode == 1
    assert "--spoil" in refused.stderr
    assert "masked_fill" not in refused.stdout
    assert "+        scores = scores.masked_fill" in gpt2("diff", "5", "--spoil").stdout
    solve(checkout, 5)
    gpt2("check", "5")
    assert "the same" in gpt2("diff", "5").stdout


def test_why_the_reference_is_as_it_is_can_be_read_after_a_pass_or_with_spoil(gpt2, checkout):
    refused = gpt2("explain", "5")
    assert refused.returncode == 1
    assert "the explanation of 05 is shown once yours passes" in refused.stderr
    assert not refused.stdout
    assert "gpt2 explain" not in gpt2("check", "5").stdout, "it is no hint"
    assert "WITHOUT IT" in gpt2("explain", "5", "--spoil").stdout
    solve(checkout, 5)
    assert "gpt2 explain 05\n" in gpt2("check", "5").stdout
    told = gpt2("explain", "causal").stdout
    assert "05 · CAUSAL MASKING, EXPLAINED" in told
    assert ">>>" in told
    assert "gpt2 diff 05" in told
    prose = told.rpartition("Yours beside")[0].splitlines()
    assert max(len(line) for line in prose if not line.startswith("    ")) <= 80


def test_an_explanation_that_is_not_there_is_not_offered(gpt2, checkout):
    solve(checkout, 5)
    (checkout / "solutions" / PROBLEM.name / "EXPLAINED.md").unlink()
    assert "explain 05" not in gpt2("check", "5").stdout
    missing = gpt2("explain", "5")
    assert missing.returncode == 0
    assert "solutions/05-causal-masking/EXPLAINED.md is missing" in missing.stdout


def test_an_interview_is_explained_by_its_approach(gpt2):
    assert gpt2("explain", "interview-3").returncode == 1
    assert "WHAT COMES NEXT" in gpt2("explain", "interview-3", "--spoil").stdout


def test_reset_keeps_a_backup_and_undo_brings_it_back(gpt2, checkout):
    file = solve(checkout, 5)
    mine = file.read_text() + "# mine\n"
    file.write_text(mine)
    asked = gpt2("reset", "5")
    assert asked.returncode == 2
    assert "--yes" in asked.stderr
    assert file.read_text() == mine
    assert gpt2("reset", "5", "--yes").returncode == 0
    assert file.read_bytes() == PROBLEM.skeleton.encode()
    backups = list((checkout / ".gpt2" / "backups" / PROBLEM.name).iterdir())
    assert [b.read_text() for b in backups] == [mine]
    file.write_text("# a new start\n")
    undone = gpt2("undo")
    assert undone.returncode == 0
    assert file.read_text() == mine
    kept = [b.read_text() for b in (checkout / ".gpt2" / "backups" / PROBLEM.name).iterdir()]
    assert "# a new start\n" in kept
    assert gpt2("undo").returncode == 1


def test_a_corrupt_progress_file_is_set_aside_with_a_message(gpt2, checkout):
    solve(checkout, 5)
    gpt2("check", "5")
    for text in ("{", '{"version": 99, "problems": {}}', "[]", "\xff"):
        (checkout / ".gpt2" / "progress.json").write_text(text, encoding="latin-1")
        done = gpt2("list")
        assert done.returncode == 0
        assert "set aside" in done.stderr
    assert (checkout / ".gpt2" / "progress.corrupt.json").exists()


def test_progress_that_cannot_be_written_is_not_fatal(gpt2, checkout):
    solve(checkout, 5)
    (checkout / ".gpt2").write_text("a file where the folder should be")
    done = gpt2("check", "5")
    assert done.returncode == 0
    assert "progress could not be" in done.stderr


def test_the_other_results_in_the_progress_file_are_kept(gpt2, checkout):
    solve(checkout, 5)
    gpt2("check", "5")
    gpt2("hint", "4")
    data = json.loads((checkout / ".gpt2" / "progress.json").read_text())
    assert data["hints"] == {find(4).name: 1}
    assert PROBLEM.name in data["problems"]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["check", "99"], 2, "there is no problem 99; problems run from 01-embeddings to"),
        (["hint", "nonsense"], 2, "there is no problem nonsense"),
        (["chek"], 2, "gpt2 check`?"),
        (["check", "--wrong"], 2, "unrecognized arguments"),
        (["diff"], 2, "required"),
    ],
)
def test_wrong_usage_is_one_sentence(gpt2, arguments, code, text):
    done = gpt2(*arguments)
    assert done.returncode == code
    assert text in done.stderr


def test_every_command_explains_itself(gpt2):
    overview = gpt2("--help").stdout
    for line in overview.splitlines():
        if line.startswith("  "):
            done = gpt2(line.split()[0], "--help")
            assert done.returncode == 0
            assert "usage: gpt2" in done.stdout


def test_a_problem_without_its_files_is_a_sentence(gpt2, checkout):
    (checkout / "problems" / PROBLEM.name / "solution.py").unlink()
    missing = gpt2("check", "5")
    assert missing.returncode == 1
    assert "there is no such file" in missing.stdout
    assert gpt2("list").returncode == 0
    (checkout / "problems" / PROBLEM.name / PROBLEM.tests[0].name).unlink()
    assert "has no tests" in gpt2("check", "5").stderr


@pytest.mark.parametrize(
    "command",
    [
        (),
        ("list",),
        ("hint", "5"),
        ("--help",),
        ("diff", "5", "--spoil"),
        ("train", "--lr", "0"),
        ("train", "--context", "0"),
        ("train", "--text", "nowhere.txt"),
        ("generate", "--top-k", "0"),
        ("generate",),
    ],
)
def test_no_torch_where_no_tensor_is_needed(gpt2, command):
    done = gpt2(*command, python=["-X", "importtime"])
    imported = {line.rsplit("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "common.course.catalogue" in imported
    assert not imported & {"torch", "numpy", "pytest", "rich"}


@pytest.mark.parametrize(
    "command", ["uv run gpt2 hint 05", ".tools/bin/uv run gpt2 hint 05", ".venv/bin/gpt2 hint 05"]
)
def test_a_command_is_never_broken_into_lines(command: str):
    for width in range(40, 81):
        lines = wrapped(f"Next: mend this and run again. A hint: {command} is the way on.", width)
        assert any(command in line for line in lines)
        assert max(map(len, lines)) <= width
