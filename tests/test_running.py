"""Verdicts from a process of its own: fast, and nothing a learner's file does outlives its check.

Everything holds for both ways, with a fork for each file and, where nothing can be forked, with a spare process.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common.course.catalogue import find
from common.judging.limited import limited
from common.judging.records import Ended, Request, Verdict
from common.judging.report import report
from common.running import judge as judging
from common.running import saves as saving
from common.running.judge import CAN_FORK, Judge

PROBLEM = find(5)
LINE = "        weights = self.attn_dropout"

Ask = Callable[..., Verdict]


@pytest.fixture(scope="module", params=["fork", "no fork"])
def way(request: pytest.FixtureRequest):
    """With a fork for each file, and without."""
    if request.param == "fork" and not CAN_FORK:
        pytest.skip("nothing can be forked here")
    patch = pytest.MonkeyPatch()
    patch.setattr(judging, "CAN_FORK", request.param == "fork")
    yield request.param
    patch.undo()


@pytest.fixture(scope="module")
def run(way: str):
    """Runs a coroutine that gets a judge; one judge and one loop for all tests."""
    loop = asyncio.new_event_loop()
    judge = Judge()
    judge.warm(PROBLEM)
    loop.run_until_complete(judge.start())

    def go(work: Callable[[Judge], Coroutine[Any, Any, Any]]) -> Any:
        return loop.run_until_complete(work(judge))

    yield go
    loop.run_until_complete(judge.close())
    loop.close()


@pytest.fixture
def ask(run) -> Ask:
    def one(file: Path, limit: float = 60.0, **options: Any) -> Verdict:
        return run(lambda judge: judge.judge(Request(PROBLEM.name, file, limit=limit, **options)))

    return one


def variant(folder: Path, inserted: str = "", **edits: str) -> Path:
    """The reference with lines put in before the weights are computed."""
    text = PROBLEM.reference_text
    for old, new in edits.items():
        text = text.replace(old, new)
    assert LINE in text
    file = folder / "solution.py"
    file.write_text(text.replace(LINE, inserted + LINE))
    return file


def test_a_right_answer_passes_and_a_wrong_one_is_explained(ask: Ask, tmp_path: Path):
    assert ask(PROBLEM.reference).passes
    wrong = ask(variant(tmp_path, **{".tril()": ".tril(1)"}))
    assert not wrong.passes
    assert any("right after it" in line for line in report(wrong))


def test_two_independent_mistakes_are_two_groups(ask: Ask, tmp_path: Path):
    text = PROBLEM.reference_text.replace("math.sqrt(q.", "math.sqrt(x.")
    file = tmp_path / "solution.py"
    file.write_text(text.replace("Dropout(config.resid_pdrop)", "Dropout(config.attn_pdrop)"))
    verdict = ask(file, by_cause=True)
    scaled, rest = verdict.groups
    assert "sqrt(C)" in scaled.says[0]
    assert all("dropout" in name or "pdrop" in name for name in rest.checks)
    assert {*scaled.checks, *rest.checks} == {o.name for o in verdict.wrong}


def test_where_two_types_meet_the_line_of_the_first_float32_tensor_is_named(
    ask: Ask, tmp_path: Path
):
    wrong = "        scores = scores + torch.zeros(x.size(1), x.size(1))\n"
    file = tmp_path / "solution.py"
    file.write_text(PROBLEM.reference_text.replace(LINE, wrong + LINE), encoding="utf-8")
    line = file.read_text().splitlines().index(wrong.strip("\n")) + 1
    said = " ".join(" ".join(report(ask(file))).split())
    assert f"The first float32 tensor there is made in line {line}, `{wrong.strip()}`." in said


def test_what_outlives_a_call_is_told_from_a_wrong_formula(ask: Ask, tmp_path: Path):
    kept = "        scores = scores * SCALES.setdefault('kept', 1 + 0.01 * x.size(1))\n"
    kept += "        scores = scores / (1 + 0.01 * x.size(1))\n"
    file = tmp_path / "solution.py"
    text = PROBLEM.reference_text.replace(LINE, kept + LINE).replace(
        "import math\n", "import math\n\nSCALES = {}\n", 1
    )
    file.write_text(text, encoding="utf-8")
    assert "Alone, in a file that was just loaded, this check passes" in " ".join(report(ask(file)))


def test_what_failed_is_told_before_its_cause_is_looked_for(run, tmp_path: Path):
    wrong, right = variant(tmp_path, **{".tril()": ".tril(1)"}), PROBLEM.reference
    for file, fails in ((wrong, True), (right, False)):
        told: list[Verdict] = []
        request = Request(PROBLEM.name, file, limit=60.0)
        verdict = run(lambda judge, r=request, told=told: judge.judge(r, told.append))
        (early,) = told
        assert [o.facts for o in early.outcomes] == [o.facts for o in verdict.outcomes]
        assert (early.partial, early.diagnosis) == (fails, None)
        assert not verdict.partial
        assert verdict.passes != fails
    early = replace(Verdict(Request(PROBLEM.name, wrong), outcomes=early.outcomes), partial=True)
    assert not any("Looking for" in line for line in report(early)), "nothing failed"


def test_an_endless_loop_is_ended_and_its_line_is_named(ask: Ask, tmp_path: Path):
    file = variant(tmp_path, "        while True:\n            pass\n")
    number = file.read_text().splitlines().index("            pass") + 1
    verdict = ask(file, limit=1.0)
    assert verdict.ended == Ended.TIMEOUT
    assert any(f"line {n}, in forward" in verdict.where for n in (number - 1, number))


def test_a_search_for_the_cause_without_an_end_leaves_what_is_known(
    ask: Ask, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(judging, "_TO_EXPLAIN", 2.0)
    marker = (
        tmp_path / "was loaded"
    )  # the second time the file is loaded, to ask it again, it never ends
    endless = f"from pathlib import Path\nwhile Path({str(marker)!r}).exists(): pass\nPath({str(marker)!r}).touch()\n"
    file = tmp_path / "solution.py"
    text = PROBLEM.reference_text.replace(
        LINE, f"        scores = scores * 1.37 + scores.sin()\n{LINE}"
    )
    file.write_text(text.replace("import math\n", f"import math\n{endless}", 1), encoding="utf-8")
    verdict = ask(file)
    assert verdict.wrong
    assert verdict.diagnosis is None
    assert not verdict.partial
    assert "FAILED" in "\n".join(report(verdict))


def test_a_file_that_ends_python_is_reported(ask: Ask, tmp_path: Path):
    left = ask(variant(tmp_path, "        import os; os._exit(7)\n"))
    assert (left.ended, left.where) == (Ended.CRASH, "exit code 7")
    died = ask(variant(tmp_path, "        import ctypes; ctypes.string_at(0)\n"))
    assert (died.ended, died.where) == (Ended.CRASH, "signal SIGSEGV")


def test_nothing_global_survives_a_check(ask: Ask, tmp_path: Path):
    mess = "        torch.set_default_dtype(torch.float64); torch.softmax = None; nn.Linear.forward = None\n"
    ask(variant(tmp_path, mess))
    assert ask(PROBLEM.reference).passes


def test_a_child_may_use_two_threads_as_the_parent_computed_with_one(ask: Ask, tmp_path: Path):
    # Had the parent ever computed with two, this child would hang for ever.
    file = variant(tmp_path)
    two = "import torch\ntorch.set_num_threads(2)\ntorch.randn(400, 400) @ torch.randn(400, 400)\n"
    file.write_text(two + file.read_text())
    assert ask(file).passes


def test_a_request_that_is_cancelled_ends_its_child(run, tmp_path: Path):
    slow = variant(tmp_path, "        import time; time.sleep(600)\n")

    async def two(judge: Judge) -> Verdict:
        first = asyncio.create_task(judge.judge(Request(PROBLEM.name, slow, limit=600)))
        await asyncio.sleep(0.3)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        return await judge.judge(Request(PROBLEM.name, PROBLEM.reference, limit=600))

    start = time.monotonic()
    assert run(two).passes
    assert time.monotonic() - start < 300


def test_what_a_file_prints_does_not_disturb_the_answers(ask: Ask, tmp_path: Path):
    noise = "        print('verdict {}' * 50); import os; os.write(1, b'noise'); os.write(2, b'noise')\n"
    verdict = ask(variant(tmp_path, noise))
    assert verdict.passes
    assert "your code printed" in " ".join(report(verdict))


def test_examples_are_run_alone(ask: Ask):
    interview = find("interview-6")
    verdict = ask(interview.reference, examples=True)
    assert not verdict.outcomes
    request = Request(interview.name, interview.reference, examples=True)
    assert request == Request.from_json(request.to_json())


def test_what_is_asked_and_answered_survives_the_pipe(tmp_path: Path):
    from common.judging.runner import run as run_here

    file = variant(tmp_path, **{".tril()": ".tril(1)"})
    verdict = run_here(Request(PROBLEM.name, file))
    assert Verdict.from_json(verdict.to_json()) == verdict


def test_a_worker_that_is_gone_is_started_again(way: str):
    async def killed() -> Verdict:
        judge = Judge()
        try:
            await judge.start()
            judge.workers[0].process.kill()
            await judge.workers[0].process.wait()
            return await judge.judge(Request(PROBLEM.name, PROBLEM.reference, limit=600))
        finally:
            await judge.close()

    assert asyncio.run(killed()).passes


def test_an_edited_test_file_is_read_anew(run, tmp_path: Path, monkeypatch):
    import shutil

    own = tmp_path / "course"
    for kind in ("problems", "solutions"):
        shutil.copytree(
            getattr(PROBLEM, "folder" if kind == "problems" else "answers"), own / kind / "77-own"
        )
    (own / "problems" / "77-own" / "test_causal_masking.py").write_text(
        "def test_one(solution):\n    assert solution.causal_mask(1) is not None\n"
    )
    from common.course.catalogue import Problem
    from common.judging.collecting import checks_of

    problem = Problem("77-own", own)
    assert [c.name for c in checks_of(problem)] == ["test_one"]
    problem.tests[0].write_text("def test_two(solution):\n    pass\n")
    assert [c.name for c in checks_of(problem)] == ["test_two"]


# --- saves


async def _first(count: int, folder: Path, meanwhile: Callable[[int], None]) -> list[set[Path]]:
    found: list[set[Path]] = []
    async for paths in saving.saves([folder]):
        found.append(paths)
        if len(found) == count:
            break
        meanwhile(len(found))
    return found


def test_it_says_when_watching_has_begun_and_then_each_save(tmp_path: Path):
    def save(number: int) -> None:
        (tmp_path / "solution.py").write_text(f"x = {number}\n")

    begun, saved = asyncio.run(asyncio.wait_for(_first(2, tmp_path, save), 60))
    assert begun == set()
    assert {path.name for path in saved} == {"solution.py"}


def test_a_save_while_watching_is_set_up_wakes_its_caller_too(tmp_path: Path, monkeypatch):
    real = saving.awatch

    async def late(*folders: Path, **options: Any):
        (tmp_path / "solution.py").write_text("x = 1\n")  # saved, and nobody is watching yet
        async for batch in real(*folders, **options):
            yield batch

    monkeypatch.setattr(saving, "awatch", late)
    assert asyncio.run(asyncio.wait_for(_first(1, tmp_path, lambda _: None), 60))


def test_the_switch_for_machines_without_fork():
    assert CAN_FORK == (
        os.name == "posix" and os.uname().sysname == "Linux" and "GPT2_NO_FORK" not in os.environ
    )


def test_a_limit_ends_what_has_no_end_and_leaves_the_rest_alone():
    with limited(60):
        pass
    with pytest.raises(TimeoutError), limited(0.2):
        sum(1 for _ in itertools.count())
    with pytest.raises(KeyboardInterrupt), limited(60):
        raise KeyboardInterrupt
    time.sleep(0.3)  # no alarm is left that could go off here


def test_a_limit_holds_where_ctrl_c_is_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(TimeoutError), limited(0.2):
            sum(1 for _ in itertools.count())
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
