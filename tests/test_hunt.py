"""Bug hunts: what is planted, what a candidate sees, and what becomes of each bug."""

from __future__ import annotations

import doctest
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from common.course import mistakes
from common.course.catalogue import HUNTS, Problem, find, hunted, problems
from common.errors import CourseError, UsageError
from common.hunting.composing import LEVELS, Hunt, compose, plant, pool
from common.hunting.crediting import Fate, debriefed, suspects
from common.hunting.curves import loss_falls
from common.hunting.effects import SOURCES, effects
from common.hunting.handing_out import hand_out
from common.judging.collecting import checks_of
from common.judging.diagnosis import module_with
from common.judging.examples import try_examples
from common.judging.loading import load
from common.judging.records import Request, Verdict
from common.judging.runner import outcomes_of, run
from common.learner import attempts

TRAINING_RUN = find("hunt-01-training-run")
each_hunted = pytest.mark.parametrize("problem", hunted(), ids=lambda p: p.key)


def drawn(count: int, levels: tuple[int, ...] = (1, 2, 3, 4)) -> list[Hunt]:
    """Hunts of these levels, those of level 1 all over the course."""
    found, draw_from = [], [p for p in problems() if pool(p, 1)]
    for number in range(count):
        level = levels[number % len(levels)]
        one = draw_from[number % len(draw_from)] if level == 1 else None
        found.append(compose(level, 1000 + 30 * number, one))
    return found


def verdict_on(hunt: Hunt, text: str) -> Verdict:
    """All checks on a text, in this process."""
    return run(Request(hunt.problem.name, hunt.problem.reference, source=text), budget=0)


# --- the files that are there only to be hunted in ----------------------------------------------


@each_hunted
def test_the_examples_of_a_readme_hold(problem: Problem):
    examples = try_examples(problem.readme, load(problem.reference))
    assert examples
    assert all(example.passes for example in examples), examples


def test_no_other_command_sees_a_hunt_as_a_problem(gpt2):
    assert not any(p.is_hunt for p in problems())
    assert "hunt-0" not in gpt2("list").stdout
    assert gpt2("check", "hunt").returncode == 2


def blocks() -> list[tuple[str, str]]:
    text = (HUNTS / "README.md").read_text(encoding="utf-8")
    return re.findall(r'```pycon bug="(.*?)"\n(.*?)```', text, re.S)


@pytest.mark.parametrize(("bug", "source"), blocks(), ids=[bug for bug, _ in blocks()])
def test_an_experiment_of_the_method_shows_its_bug_and_nothing_in_the_clean_file(bug, source):
    known = {m.name: m for m in mistakes.known(TRAINING_RUN)}
    fails = []
    for made in ((known[bug],), ()):
        module = module_with(TRAINING_RUN, TRAINING_RUN.reference_text, made)
        test = doctest.DocTestParser().get_doctest(source, dict(vars(module)), bug, None, 0)
        fails.append(doctest.DocTestRunner().run(test, out=lambda _: None).failed)
    assert fails == [0, 1]


# --- what is planted ----------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
def test_a_seed_gives_one_file_and_another_seed_another(level):
    one = find("05") if level == 1 else None
    texts = [compose(level, seed, one).text for seed in (1, 1, 2, 3, 4)]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 2


@pytest.mark.parametrize("level", LEVELS)
def test_a_hunt_has_as_many_bugs_as_its_level_says_and_each_stands_somewhere(level):
    least, most = LEVELS[level].bugs
    for hunt in drawn(12, (level,)):
        assert least <= len(hunt.planted) <= most
        lines = hunt.text.splitlines()
        for bug in hunt.planted:
            for place in hunt.places(bug):
                assert tuple(lines[place.line - 1 :][: len(place.was)]) == place.was
                assert place.was != place.clean
        assert plant(hunt.clean, ()) == hunt.clean


def test_each_bug_shows_beside_the_others_and_each_mended_alone_changes_a_check():
    for hunt in drawn(4, (2,)) + drawn(3, (3,)) + drawn(3, (4,)):
        failing = {o.name for o in verdict_on(hunt, hunt.text).outcomes if o.status.is_wrong}
        for bug in hunt.planted:
            own = hunt.own_checks(bug)
            assert own
            assert own & failing, (hunt.level, hunt.seed, bug.name)
            others = plant(hunt.clean, [m for m in hunt.planted if m is not bug])
            left = {o.name for o in verdict_on(hunt, others).outcomes if o.status.is_wrong}
            assert not own & left, (hunt.level, hunt.seed, bug.name)


def test_a_linter_sees_no_difference_to_a_clean_file(tmp_path: Path):
    hunts = drawn(300)
    for number, hunt in enumerate(hunts):
        (tmp_path / f"{number}-planted.py").write_text(hunt.text, encoding="utf-8")
        (tmp_path / f"{number}-clean.py").write_text(hunt.clean, encoding="utf-8")
    rules = "E,F,W,B,RET,PIE,C4,SIM,RUF"
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--isolated",
        "--line-length",
        "100",
        "--select",
        rules,
    ]
    done = subprocess.run(
        [*command, "--output-format", "json", str(tmp_path)], capture_output=True, text=True, check=False
    )  # fmt: skip
    seen: dict[str, list[str]] = {}
    for each in json.loads(done.stdout):
        seen.setdefault(Path(each["filename"]).stem, []).append(each["code"])
    for number, hunt in enumerate(hunts):
        new = [*seen.get(f"{number}-planted", [])]
        for code in seen.get(f"{number}-clean", []):
            if code in new:
                new.remove(code)
        assert not new, (hunt.level, hunt.seed, [m.name for m in hunt.planted], new)


@pytest.mark.parametrize("name", SOURCES)
def test_what_the_table_says_of_a_mistake_is_what_it_does(name):
    problem = find(name)
    table, known = effects(problem), [m for m in pool(problem, 1) if m.natural]
    assert table.fails.keys() == {m.name for m in known}, "`make hunts` measures anew"
    for mistake in known[:: max(len(known) // 20, 1)]:
        module = module_with(problem, problem.reference_text, (mistake,))
        wrong = (
            {o.name for o in outcomes_of(problem, module) if o.status.is_wrong} if module else set()
        )
        assert wrong == table.fails[mistake.name], f"{mistake.name}: `make hunts` measures anew"
    assert {c.name for c in checks_of(problem)} >= {
        n for fails in table.fails.values() for n in fails
    }


def test_level_4_is_silent():
    assert len(pool(TRAINING_RUN, 4)) >= 30
    log = [f"step {s:>4}  train {loss:.3f}  val 3.000" for s, loss in ((0, 4.0), (50, 3.0))]
    assert loss_falls(log)
    assert not loss_falls([*log, "it ends with an error:", "ValueError: no"])
    assert not loss_falls([log[0], log[0]])
    assert not loss_falls([log[0], "step   50  train nan  val nan"])


def test_levels_and_problems_that_make_no_hunt_are_refused():
    with pytest.raises(UsageError, match="1 to 4, not 5"):
        compose(5, 0)
    with pytest.raises(UsageError, match="not about one problem"):
        compose(3, 0, find("05"))
    with pytest.raises(UsageError, match="name it"):
        compose(1, 0)


# --- what becomes of a bug ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def hunt() -> Hunt:
    return compose(3, 7)


def test_every_subset_that_is_mended_is_credited_and_nothing_else(hunt: Hunt):
    given = verdict_on(hunt, hunt.text)
    for mended in ([], hunt.planted[:1], hunt.planted[1:], hunt.planted):
        text = plant(hunt.clean, [m for m in hunt.planted if m not in mended])
        found = debriefed(hunt, given, verdict_on(hunt, text), text)
        assert [f.bug for f in found.findings if f.fate == Fate.MENDED] == [*mended]
        assert all(f.fate == Fate.MISSED for f in found.findings if f.bug not in mended)
        assert not found.broken
        assert all(f.experiment for f in found.findings)


def test_a_bug_that_was_edited_and_still_shows_was_mended_wrongly(hunt: Hunt):
    given, first = verdict_on(hunt, hunt.text), hunt.planted[0]
    place = hunt.places(first)[0]
    lines = hunt.text.splitlines()
    lines[place.line - 1] += "  # looks fine"
    text = "\n".join(lines) + "\n"
    found = debriefed(hunt, given, verdict_on(hunt, text), text)
    assert found.findings[0].fate == Fate.WRONGLY
    assert {f.fate for f in found.findings[1:]} == {Fate.MISSED}


def test_what_a_wrong_mending_breaks_is_laid_at_its_door():
    hunt = next(
        h for h in (compose(3, seed) for seed in range(200, 400))
        if "the norm is taken after clipping" in {m.name for m in h.planted}
    )  # fmt: skip
    bug = next(m for m in hunt.planted if m.name == "the norm is taken after clipping")
    clip = "        norm = nn.utils.clip_grad_norm_(model.parameters(), settings.grad_clip)\n"
    step = "        optimizer.step()\n"
    text = hunt.clean.replace(clip + step, step + clip)
    assert text != hunt.clean
    given, mended = verdict_on(hunt, hunt.text), verdict_on(hunt, text)
    undone = {n: verdict_on(hunt, t) for n, t in suspects(hunt, given, mended, text).items()}
    found = debriefed(hunt, given, mended, text, undone)
    assert [f.bug.name for f in found.findings if f.fate == Fate.WRONGLY] == [bug.name]
    assert found.broken


def test_what_was_right_and_is_broken_now_is_told(hunt: Hunt):
    given = verdict_on(hunt, hunt.text)
    inert = next(
        m for m in pool(TRAINING_RUN, 3)
        if m not in hunt.planted and set(effects(TRAINING_RUN).fails[m.name])
        - {c for p in hunt.planted for c in effects(TRAINING_RUN).fails[p.name]}
    )  # fmt: skip
    text = plant(hunt.clean, [inert])
    found = debriefed(hunt, given, verdict_on(hunt, text), text)
    assert found.broken


def test_a_file_that_does_not_load_mends_nothing(hunt: Hunt):
    given = verdict_on(hunt, hunt.text)
    request = Request(hunt.problem.name, hunt.problem.reference)
    found = debriefed(hunt, given, Verdict(request, failure="SyntaxError"), "def (:\n")
    assert found.mended == 0


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_hunt_for_a_class_is_a_course_of_one_problem(tmp_path: Path, gpt2, level):
    made = compose(level, 7, find("05") if level == 1 else None)
    hand_out(made, tmp_path / "hunt")
    with pytest.raises(CourseError, match="there already"):
        hand_out(made, tmp_path / "hunt")
    handed = tmp_path / "hunt" / "problems" / "60-find-the-bugs"
    assert (handed / "solution.py").read_text() == made.text
    course = ["--course", str(tmp_path / "hunt")]
    assert gpt2(*course, "check", "60").returncode == 1
    (handed / "solution.py").write_text(made.clean)
    assert gpt2(*course, "check", "60").returncode == 0


# --- the screen ---------------------------------------------------------------------------------


def test_a_hunt_from_its_first_screen_to_the_debrief(screen, checkout: Path, gpt2, working_file):
    hunt = compose(1, 7, find("05"))
    terminal = screen("hunt", "05", "--seed", "7")
    terminal.shows("WHAT IS SEEN")
    terminal.shows("says that this does not hold")
    file = working_file("hunt-level-1")
    assert file.read_text() == hunt.text
    file.write_text("def (:\n")
    terminal.shows("The file does not run:")
    file.write_text(hunt.text + "\n")
    terminal.shows("What was reported is still so.")
    file.write_text(hunt.clean)
    terminal.shows("What was reported is no longer so.")
    terminal.press("h")
    terminal.shows("Bug 1: an experiment")
    terminal.press("s")
    terminal.shows("what became of each bug?")
    terminal.press("y")
    terminal.shows("1 of 1 bug found and mended.")
    terminal.press("d")
    terminal.shows("Yours is the file without bugs")
    terminal.press("q")
    assert terminal.ends() == 0
    kept = {path.name for path in file.parent.iterdir()}
    assert kept == {
        "solution.py", "given.py", "clean.py", "attempt.json", "symptoms.txt", "report.txt"
    }  # fmt: skip
    assert "level 1 in 05 Causal masking, seed 7" in gpt2("hunt", "--history").stdout
    assert "1 of 1 solved" in gpt2("hunt").stdout


def test_a_hunt_begins_from_the_list_of_watch(screen, checkout: Path, working_file):
    terminal = screen("watch", "5")
    terminal.shows("ritten yet")
    terminal.press("l")
    terminal.shows("f and number to hunt a bug there")
    terminal.press("f05\r")
    terminal.shows("WHAT IS SEEN")
    assert working_file("hunt-level-1").exists()


def test_two_hunts_that_begin_in_one_second_have_a_folder_each(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(attempts, "FOLDER", tmp_path)
    two = [attempts.begin(find("05"), 10, "x = 1\n", level=1, seed=seed) for seed in (1, 2)]
    assert two[0].folder != two[1].folder
    assert {a.seed for a in attempts.hunts()} == {1, 2}


def test_a_hunt_that_was_killed_goes_on_with_the_same_clock(
    screen, checkout: Path, gpt2, working_file
):
    first = screen("hunt", "--level", "2", "--seed", "3")
    first.shows("WHAT IS SEEN")
    file = working_file("hunt-level-2")
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    begun = json.loads((file.parent / "attempt.json").read_text())["begun"]
    second = screen("hunt")
    second.shows("WHAT IS SEEN")
    second.process.send_signal(signal.SIGINT)
    assert second.ends() == 130
    file.unlink()
    done = gpt2("hunt", "--submit")
    assert done.returncode == 1
    assert "0 of" in done.stdout
    assert "there is no such file" in done.stdout
    record = json.loads((file.parent / "attempt.json").read_text())
    assert (record["begun"], record["how"]) == (begun, "submitted")
    assert gpt2("hunt", "--submit").stderr == "gpt2: no such hunt is running\n"


def test_a_hunt_of_another_version_of_the_course_says_so(
    screen, checkout: Path, gpt2, working_file
):
    terminal = screen("hunt", "05", "--seed", "7")
    terminal.shows("WHAT IS SEEN")
    terminal.process.send_signal(signal.SIGINT)
    terminal.ends()
    given = working_file("hunt-level-1").with_name("given.py")
    given.write_text(given.read_text() + "# changed\n")
    done = gpt2("hunt", "--submit")
    assert done.returncode == 1
    assert "was made by another version of this course" in done.stderr


def test_what_cannot_be_begun_is_said_in_a_sentence(gpt2):
    assert "1 to 4, not 9" in gpt2("hunt", "--level", "9").stderr
    assert "not about one problem" in gpt2("hunt", "05", "--level", "3", "--hand-out", "x").stderr
    assert "this needs a terminal" in gpt2("hunt", "05").stderr
    assert "--minutes must be above 0" in gpt2("hunt", "05", "--minutes", "0").stderr


def test_a_verdict_keeps_its_log_across_the_pipe():
    verdict = Verdict(Request("05-causal-masking", Path("x")), log=("step 0", "step 1"))
    assert Verdict.from_json(verdict.to_json()) == verdict
    assert replace(verdict, log=()) != verdict
