"""The warm process: fast, and nothing a learner's file does outlives its check."""

from __future__ import annotations

import selectors
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.catalogue import find
from common.warm_client import CAN_FORK, Warm

PROBLEM = find(5)
LINE = "        weights = self.attn_dropout"

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="checks are forked on Linux only")


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    process = Warm()
    process.prepare(PROBLEM)
    yield process
    process.close()


def answer(warm: Warm, number: int, seconds: float = 30) -> dict[str, Any]:
    """The answer with that number; earlier ones are dropped, as watch mode does."""
    end = time.monotonic() + seconds
    with selectors.DefaultSelector() as ready:
        ready.register(warm, selectors.EVENT_READ)
        while time.monotonic() < end:
            if ready.select(end - time.monotonic()):
                for message in warm.read():
                    if message.get("id") == number:
                        return message
    raise TimeoutError


def variant(folder: Path, inserted: str = "", **edits: str) -> Path:
    """The reference with lines put in before the weights are computed."""
    text = PROBLEM.reference.read_text()
    for old, new in edits.items():
        text = text.replace(old, new)
    assert LINE in text
    file = folder / "solution.py"
    file.write_text(text.replace(LINE, inserted + LINE))
    return file


def test_a_right_answer_passes_and_a_wrong_one_is_explained(warm: Warm, tmp_path: Path):
    right = answer(warm, warm.check(PROBLEM, 10, PROBLEM.reference))
    assert right["passes"]
    wrong = answer(warm, warm.check(PROBLEM, 10, variant(tmp_path, **{".tril()": ".tril(1)"})))
    assert not wrong["passes"]
    assert any("right after it" in line for line in wrong["lines"])


def test_an_endless_loop_is_ended_and_its_line_is_named(warm: Warm, tmp_path: Path):
    file = variant(tmp_path, "        while True:\n            pass\n")
    number = file.read_text().splitlines().index("            pass") + 1
    message = answer(warm, warm.check(PROBLEM, 1.0, file))
    assert message["ended"] == "timeout"
    assert any(f"line {n}, in forward" in message["where"] for n in (number - 1, number))


def test_a_file_that_ends_python_is_reported(warm: Warm, tmp_path: Path):
    left = answer(
        warm, warm.check(PROBLEM, 10, variant(tmp_path, "        import os; os._exit(7)\n"))
    )
    assert left == {"id": left["id"], "ended": "crash", "where": "exit code 7"}
    crash = "        import ctypes; ctypes.string_at(0)\n"
    died = answer(warm, warm.check(PROBLEM, 10, variant(tmp_path, crash)))
    assert died["where"] == "signal SIGSEGV"


def test_nothing_global_survives_a_check(warm: Warm, tmp_path: Path):
    mess = "        torch.set_default_dtype(torch.float64); torch.softmax = None; nn.Linear.forward = None\n"
    answer(warm, warm.check(PROBLEM, 10, variant(tmp_path, mess)))
    assert answer(warm, warm.check(PROBLEM, 10, PROBLEM.reference))["passes"]


def test_a_child_may_use_two_threads_as_the_parent_computed_with_one(warm: Warm, tmp_path: Path):
    # Had the parent ever computed with two, this child would hang for ever.
    file = variant(tmp_path)
    two = "import torch\ntorch.set_num_threads(2)\ntorch.randn(400, 400) @ torch.randn(400, 400)\n"
    file.write_text(two + file.read_text())
    assert answer(warm, warm.check(PROBLEM, 10, file))["passes"]


def test_a_newer_request_replaces_the_one_under_way(warm: Warm, tmp_path: Path):
    slow = variant(tmp_path, "        import time; time.sleep(60)\n")
    warm.check(PROBLEM, 60, slow)
    time.sleep(0.2)
    start = time.monotonic()
    assert answer(warm, warm.check(PROBLEM, 10, PROBLEM.reference))["passes"]
    assert time.monotonic() - start < 10


def test_what_a_file_prints_does_not_disturb_the_answers(warm: Warm, tmp_path: Path):
    noise = "        print('{\"id\": 1}' * 50); import os; os.write(1, b'noise'); os.write(2, b'noise')\n"
    assert answer(warm, warm.check(PROBLEM, 10, variant(tmp_path, noise)))["passes"]


def test_a_process_that_is_gone_is_noticed(tmp_path: Path):
    process = Warm()
    try:
        assert process.process
        process.process.kill()
        process.process.wait()
        gone = False
        while not gone:
            try:
                process.read()
            except EOFError:
                gone = True
        process.start()
        assert answer(process, process.check(PROBLEM, 10, PROBLEM.reference))["passes"]
    finally:
        process.close()
