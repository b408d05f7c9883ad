"""`gpt2 watch` in a terminal of its own: what a learner sees, and that the terminal comes back."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from common.course.catalogue import find

PROBLEM = find(5)


def test_a_session_from_the_skeleton_to_the_next_problem(screen, checkout: Path):
    file = checkout / "problems" / PROBLEM.name / "solution.py"
    right = PROBLEM.reference_text
    terminal = screen("watch", "5", "--limit", "2")
    assert "05 Causal masking" in terminal.shows("not written yet: causal_mask")
    file.write_text(right.replace("scores = q @", "scores = (q @"))
    terminal.shows("SyntaxError")
    file.write_text(right.replace(".tril()", ".tril(1)"))
    terminal.shows("Cause: Your mask lets each token see the one right after it")
    terminal.press("e")
    terminal.shows("That is shown once yours passes.")
    terminal.press("h")
    terminal.shows("Hint 1: where does the mask go?")
    file.write_text(
        right.replace("    return torch.ones", "    while True: pass\n    return torch.ones")
    )
    terminal.shows("likely an endless loop")
    file.write_text(
        right.replace("    return torch.ones", "    import os; os._exit(3)\n    return torch.ones")
    )
    terminal.shows("ended Python itself (exit code 3)")
    # As editors save: to another file, which is then moved over the first.
    (checkout / "scratch.py").write_text(right)
    os.replace(checkout / "scratch.py", file)
    terminal.shows("checks pass. Before the next:")
    terminal.shows("then press o to open the answer.")
    terminal.shows("1 of")
    terminal.press("o")
    terminal.shows("Press e to read why the reference is as it is, n to go on.")
    terminal.press("d")
    terminal.shows("Yours and the reference are the same")
    terminal.press("e")
    terminal.shows("05 · CAUSAL MASKING, EXPLAINED")
    terminal.press("l")
    terminal.shows("number and Enter to jump")
    terminal.press("4\r")
    terminal.shows(
        "04 Multi-head attention · problems/04-multi-head-attention/solution.py (yours) Not written yet."
    )
    terminal.press("n")
    terminal.shows("06 Feed-forward")
    terminal.press("q")
    assert terminal.ends() == 0
    assert terminal.settings() == terminal.before


def test_what_failed_is_shown_while_its_cause_is_looked_for(screen, checkout: Path):
    file = checkout / "problems" / PROBLEM.name / "solution.py"
    # Loaded a second time, to be asked again, it takes long.
    slow = "import time\nfrom pathlib import Path\nseen = Path(__file__).with_name('seen')\n"
    slow += "time.sleep(2 * seen.exists())\nseen.touch()\n"
    wrong = PROBLEM.reference_text.replace("math.sqrt(q.size(-1))", "9.0")
    file.write_text(wrong.replace("import math\n", f"import math\n{slow}", 1))
    terminal = screen("watch", "5")
    early = terminal.shows("Looking for its cause ... A hint:")
    assert "FAILED" in early
    assert "A score is q·k / sqrt(D)" not in early
    assert "A score is q·k / sqrt(D)" in terminal.shows("Next: mend this and run again.")


def test_all_failures_by_cause_on_a_key(screen, checkout: Path):
    wrong = PROBLEM.reference_text.replace("math.sqrt(q.", "math.sqrt(x.")
    (checkout / "problems" / PROBLEM.name / "solution.py").write_text(wrong)
    terminal = screen("watch", "5")
    terminal.shows("3 more fail, from the same cause")
    terminal.press("a")
    shown = terminal.shows("FAILED the gradients are those of the reference")
    assert shown.count("Cause:") == 1
    assert shown.count("FAILED") == 4


def test_the_cause_is_held_back_for_who_wants_to_think(screen, checkout: Path):
    file = checkout / "problems" / PROBLEM.name / "solution.py"
    wrong = PROBLEM.reference_text.replace("math.sqrt(q.", "math.sqrt(x.")
    file.write_text(wrong)
    terminal = screen("watch", "5", "--think", rows=60)
    shown = terminal.shows("What would give this?")
    assert "expected 4.12086" in shown
    assert "Cause" not in shown
    terminal.press("c")
    terminal.shows("Cause: You divide by sqrt(C)")
    file.write_text(wrong.replace("math.sqrt(x.size(-1))", "9.0"))
    terminal.shows("What would give this?", without="Cause")  # the screen may be half drawn
    terminal.press("a")
    terminal.shows("FAILED the output is that of fused", without="What would give this?")
    file.write_text(wrong.replace("math.sqrt(x.size(-1))", "(9.0)"))
    assert "A score is q·k / sqrt(D)" in terminal.shows("Next: mend this")


def test_reset_asks_and_keeps_a_backup(screen, checkout: Path):
    file = Path(
        shutil.copy(PROBLEM.reference, checkout / "problems" / PROBLEM.name / "solution.py")
    )
    terminal = screen("watch", "5")
    terminal.shows("checks pass. Before the next:")
    terminal.press("x")
    terminal.shows("Replace problems/05-causal-masking/solution.py by the skeleton?")
    terminal.press("n")
    terminal.shows("checks pass. Before the next:")
    assert file.read_bytes() == PROBLEM.reference.read_bytes()
    terminal.press("xy")
    terminal.shows("not written yet: causal_mask")
    assert file.read_bytes() == PROBLEM.skeleton.encode()
    assert list((checkout / ".gpt2" / "backups" / PROBLEM.name).iterdir())


def test_a_resized_terminal_is_drawn_anew(screen, checkout: Path):
    terminal = screen("watch", "5")
    terminal.shows("not written yet: causal_mask")
    terminal.resize(46, 20)
    terminal.shows("Next: write it. A hint:")
    shown = terminal.shows("q quit")
    assert "(yours)" in shown.replace("\n", "")
    assert max(map(len, shown.splitlines())) <= 46


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_comes_back_however_it_ends(screen, number: signal.Signals):
    terminal = screen("watch", "5")
    terminal.shows("not written yet: causal_mask")
    terminal.process.send_signal(number)
    assert terminal.ends() in (0, 130)
    assert terminal.settings() == terminal.before


def test_without_a_terminal_it_says_so(gpt2):
    done = gpt2("watch")
    assert done.returncode == 2
    assert "needs a terminal" in done.stderr
