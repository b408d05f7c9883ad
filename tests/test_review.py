"""`gpt2 review` and `gpt2 progress`: what comes back, when, and what becomes of it."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import replace
from pathlib import Path

from common.course.catalogue import Problem, find, problems, road
from common.course.skeleton import skeleton
from common.review import cards as making
from common.review import deck as decks
from common.review import tasks, transfer
from common.review.cards import Card, Kind
from common.review.deck import Deck, Review
from common.review.memory import Grade, Memory, day_of
from common.review.portion import line

DAY = 86400
NOW = time.time()
TODAY = day_of(NOW)
MASKING = find(5)


def solve(checkout: Path, gpt2, number: int, days_ago: int) -> Problem:
    """Let a problem pass, and say that it did so that many days ago."""
    problem = find(number)
    (checkout / "problems" / problem.name / "solution.py").write_text(problem.reference_text)
    assert gpt2("check", str(number)).returncode == 0
    file = checkout / ".gpt2" / "progress.json"
    data = json.loads(file.read_text())
    assert time.time() - data["problems"][problem.name]["solved"] < 60
    data["problems"][problem.name]["solved"] = int(time.time() - days_ago * DAY)
    file.write_text(json.dumps(data))
    return problem


def reviews(checkout: Path) -> Deck:
    return decks.parsed(json.loads((checkout / ".gpt2" / "review.json").read_text()))


def settle(checkout: Path, *ids: str, due: int) -> None:
    """Say that these cards were graded, and when they are due again."""
    memory = Memory(due, TODAY - 40, 30.0, 5.0, 1)
    deck = Deck(dict.fromkeys(ids, memory))
    (checkout / ".gpt2" / "review.json").write_text(json.dumps(deck.to_data()))


# --- the cards --------------------------------------------------------------------------------------


def test_every_problem_has_cards_that_can_be_done():
    for problem in problems():
        parts = dict.fromkeys(making.to_write(problem), "passes")
        found = [*making.of(problem, {"solved": NOW, "parts": parts})]
        assert len({card.id for card in found}) == len(found)
        assert all(card.first > TODAY and 1 <= card.minutes <= 6 for card in found)
        for card in found:
            if card.kind == Kind.WRITE:
                assert making.definitions(problem.skeleton)[card.what]
        if not problem.is_interview:
            assert sum(card.kind == Kind.QUESTION for card in found) >= 2
            assert {card.first for card in found if card.kind == Kind.HUNT} == {TODAY + 7}


def test_a_file_to_write_is_the_learners_but_for_one_hole(monkeypatch, tmp_path: Path):
    mine = MASKING.reference_text.replace("import math\n", "import math as mathematics\n", 1)
    problem = Problem(MASKING.name, tmp_path)
    file = tmp_path / "problems" / problem.name / "solution.py"
    file.parent.mkdir(parents=True)
    file.write_text(mine.replace("def causal_mask", "@torch.no_grad()\ndef causal_mask"))
    kept = tmp_path / "solutions" / problem.name / "solution.py"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(MASKING.reference.read_bytes())
    monkeypatch.setattr(decks, "FILE", tmp_path / "review.json")
    monkeypatch.setattr(tasks, "FOLDER", tmp_path / "reviews")
    card = Card(problem, Kind.WRITE, "causal_mask", 2, 0)
    text = tasks.prepare(card, Deck()).file.read_text()
    assert "import math as mathematics" in text
    assert "raise NotImplementedError" in text
    assert ".tril()" not in text
    assert "no_grad" not in text
    assert "masked_fill" in text
    (tmp_path / "reviews" / problem.name / "solution.py").write_text("half of it\n")
    again = tasks.prepare(card, decks.read())
    assert again.resumed
    assert again.file.read_text() == "half of it\n"
    assert "@torch.no_grad()" in again.answer()
    other = tasks.prepare(replace(card, what="CausalSelfAttention"), decks.read())
    assert not other.resumed
    assert ".tril()" in other.file.read_text()
    assert skeleton(MASKING.reference.read_text(), "05") != other.given


def test_a_hunt_has_another_bug_each_time_and_ends_with_the_planted_line(monkeypatch, tmp_path):
    monkeypatch.setattr(decks, "FILE", tmp_path / "review.json")
    monkeypatch.setattr(tasks, "FOLDER", tmp_path / "reviews")
    card = Card(MASKING, Kind.HUNT, "", 6, 0)
    texts = set()
    for times in range(4):
        known = Deck({card.id: Memory(TODAY, TODAY - 1, 1.0, 5.0, times)} if times else {})
        task = tasks.prepare(card, known)
        texts.add(task.given)
        assert task.given != MASKING.reference_text
        assert any(row.startswith(("- ", "+ ")) for row in task.answer())
    assert len(texts) > 1


def test_a_slow_or_a_stumbling_success_is_a_hard_one():
    card = Card(MASKING, Kind.WRITE, "causal_mask", 2, 0)
    assert tasks.grade(card, seconds=200, failing=3) == Grade.GOOD
    assert tasks.grade(card, seconds=241, failing=0) == Grade.HARD
    assert tasks.grade(card, seconds=10, failing=4) == Grade.HARD


# --- the commands -----------------------------------------------------------------------------------


def test_what_is_due_is_one_line_and_a_list_and_nothing_before_a_day_has_passed(gpt2, checkout):
    assert "There is nothing to review" in gpt2("review").stdout
    solve(checkout, gpt2, 5, days_ago=0)
    assert "review" not in gpt2().stdout
    assert (
        "Nothing more is due today. Next: 1 card, about 1 minute, tomorrow."
        in gpt2("review").stdout
    )
    solve(checkout, gpt2, 5, days_ago=40)
    assert "Due for review: 3 cards, about 4 minutes: " in gpt2().stdout
    listed = gpt2("review", "--list").stdout
    assert "05 Causal masking: a question (1 min)" in listed
    assert "05 Causal masking: write causal_mask (2 min)" in listed
    assert "In the next week:" in listed
    refused = gpt2("review")
    assert refused.returncode == 2
    assert "needs a terminal" in refused.stderr
    assert "review --list" in refused.stderr
    assert not (checkout / "reviews").exists()
    file = checkout / "problems" / MASKING.name / "solution.py"
    text = file.read_text()
    gpt2("reset", "5", "--yes")
    assert "Due for review" not in gpt2().stdout
    file.write_text(text)
    assert "Due for review: 3 cards" in gpt2().stdout


def test_where_nothing_is_graded_fsrs_is_not_imported(gpt2, checkout):
    solve(checkout, gpt2, 5, days_ago=40)
    for command in ((), ("review", "--list"), ("progress",)):
        done = gpt2(*command, python=["-X", "importtime"])
        imported = {row.rsplit("|")[-1].strip() for row in done.stderr.splitlines()}
        assert "common.review.cards" in imported
        assert not imported & {"fsrs", "torch", "watchfiles"}


def test_a_corrupt_deck_is_set_aside_with_a_message(gpt2, checkout):
    solve(checkout, gpt2, 5, days_ago=40)
    good = Deck({"05-causal-masking/hunt": Memory(TODAY, TODAY, 1.0, 5.0, 1)}).to_data()
    nowhere = {**good, "cards": {"a/b": {**good["cards"]["05-causal-masking/hunt"], "due": 1e99}}}
    file = checkout / ".gpt2" / "review.json"
    for text in ("{", "[]", "\xff", '{"version": 9}', json.dumps(nowhere)):
        file.write_text(text, encoding="latin-1")
        done = gpt2()
        assert done.returncode == 0
        assert "review.json could not be read" in done.stderr
        assert "set aside" in done.stderr
        assert "Due for review: 3 cards" in done.stdout
    assert (checkout / ".gpt2" / "review.corrupt.json").exists()


def test_a_portion_from_its_first_question_to_the_file_that_passes(screen, gpt2, checkout):
    solve(checkout, gpt2, 5, days_ago=40)
    terminal = screen("review", rows=60)
    terminal.shows("1 of 3 · 05 Causal masking: a question")
    terminal.shows("Enter opens the answer")
    assert "exp(-1e10) is 0" not in "\n".join(terminal.lines)
    terminal.press("\n")
    terminal.shows("exp(-1e10) is 0")
    terminal.press("7\n3\n")
    terminal.shows("Good: it comes back in")
    terminal.shows("Write causal_mask again.")
    assert [r.grade for r in reviews(checkout).log] == [3], "a grade is on the disk at once"
    file = checkout / "reviews" / MASKING.name / "solution.py"
    holed = file.read_text()
    hole = next(row for row in holed.splitlines() if "raise NotImplementedError" in row)
    size = "seq_len, seq_len, dtype=torch.bool, device=device"
    file.write_text(holed.replace(hole, f"    return torch.ones({size}).triu()"))
    shown = terminal.shows("FAILED")
    assert "hint" not in shown
    file.write_text(holed.replace(hole, f"    return torch.ones({size}).tril()"))
    terminal.shows("checks pass. Good: it comes back in")
    terminal.shows("3 of 3 · 05 Causal masking: a question")
    terminal.press("s\n")
    terminal.shows("2 of 3 graded. What was skipped waits")
    assert terminal.ends() == 0
    assert terminal.settings() == terminal.before
    kept = reviews(checkout)
    assert [r.grade for r in kept.log] == [3, 3]
    assert set(kept.memories) == {kept.log[0].card, "05-causal-masking/write/causal_mask"}
    assert not kept.begun
    assert "Due for review: 1 card, about 1 minute" in gpt2().stdout
    assert (
        checkout / "problems" / MASKING.name / "solution.py"
    ).read_text() == MASKING.reference_text


def test_a_bug_is_looked_for_and_given_up_and_ctrl_c_keeps_what_was_graded(screen, gpt2, checkout):
    problem = solve(checkout, gpt2, 6, days_ago=40)
    entry = json.loads((checkout / ".gpt2" / "progress.json").read_text())["problems"][problem.name]
    others = [c.id for c in making.of(problem, entry) if c.kind != Kind.HUNT]
    settle(checkout, *others, due=TODAY + 30)
    terminal = screen("review", rows=60)
    terminal.shows("There is one bug in reviews/06-feedforward/solution.py")
    shown = terminal.shows("checks pass")
    assert "FAILED" in shown
    assert "Cause" not in shown
    file = checkout / "reviews" / problem.name / "solution.py"
    file.write_text(file.read_text() + "\n# thinking\n")
    terminal.process.send_signal(signal.SIGINT)
    terminal.shows("0 of 1 graded; the rest waits")
    assert terminal.ends() == 130
    again = screen("review", rows=60)
    again.shows("The file is as you left it.")
    assert "# thinking" in file.read_text()
    again.press("g\n")
    again.shows("The bug, - as it was planted and + as it is right:")
    again.shows("Again: it comes back tomorrow.")
    assert again.ends() == 0
    assert [r.grade for r in reviews(checkout).log] == [1]
    assert "Due for review" not in gpt2().stdout


# --- to another machine -----------------------------------------------------------------------------


def test_progress_goes_out_and_comes_back(gpt2, checkout, tmp_path):
    solve(checkout, gpt2, 5, days_ago=40)
    gpt2("hint", "4")
    file = checkout / "problems" / MASKING.name / "solution.py"
    gpt2("reset", "5", "--yes")
    file.write_text(MASKING.reference_text)
    settle(checkout, "05-causal-masking/hunt", due=TODAY + 9)
    told = f"1 of {len(road())} problems pass; 5 cards, graded 0 times."
    assert told in gpt2("progress").stdout
    out = tmp_path / "kept.json"
    assert gpt2("progress", "export", str(out)).returncode == 0
    folder = checkout / ".gpt2"
    before = {f: json.loads((folder / f).read_text()) for f in ("progress.json", "review.json")}
    assert "here already" in gpt2("progress", "import", str(out)).stdout
    for name in before:
        (folder / name).unlink()
    came = gpt2("progress", "import", str(out)).stdout
    assert "Passing there and now here: 05-causal-masking." in came
    assert "Hints that were opened there are open here." in came
    assert {f: json.loads((folder / f).read_text()) for f in before} == before
    assert "1 of" in gpt2().stdout
    assert gpt2("progress", "export", str(out)).returncode == 0, "over an earlier export"


def test_what_cannot_be_exported_or_imported_is_one_sentence(gpt2, checkout, tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("mine\n")
    newer = tmp_path / "newer.json"
    newer.write_text(json.dumps({"format": transfer.FORMAT, "version": 2}))
    bad = {"format": transfer.FORMAT, "version": 1, "review": Deck().to_data()}
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps({**bad, "progress": {"version": 1, "problems": {"x": {}}}}))
    for arguments, says in {
        ("import",): "which file?",
        ("export", str(notes)): "is no export of progress",
        ("export", str(tmp_path)): "is a folder",
        ("import", str(notes)): "is no file that",
        ("import", str(broken)): "is no file that",
        ("import", str(newer)): "is of version 2, and this course reads 1",
        ("import", str(tmp_path / "nowhere.json")): "there is no file",
        ("import", str(checkout / "problems")): "cannot be read",
    }.items():
        done = gpt2("progress", *arguments)
        assert done.returncode == 2, arguments
        assert says in done.stderr, arguments
    assert notes.read_text() == "mine\n"
    assert not (checkout / ".gpt2").exists()


def entry(passed: int, digest: str, **more: int) -> dict:
    return {"digest": digest, "passed": passed, "checks": 9, "loads": True, "parts": {}, **more}


def test_of_two_records_the_better_one_stays():
    mine = {"a": entry(9, "old", solved=20), "b": entry(2, "x"), "c": entry(5, "y")}
    theirs = {"a": entry(4, "new"), "b": entry(9, "z", solved=10), "d": entry(1, "w")}
    merged = transfer.merged_progress(
        {"version": 1, "problems": mine, "hints": {"a": 1, "b": 3}},
        {"version": 1, "problems": theirs, "hints": {"a": 2, "b": 1}},
    )
    assert merged["problems"] == {
        "a": mine["a"],
        "b": theirs["b"],
        "c": mine["c"],
        "d": theirs["d"],
    }
    assert merged["hints"] == {"a": 2, "b": 3}


def test_of_two_decks_each_card_keeps_its_later_grade_and_no_grade_is_lost():
    early, late = Memory(10, 5, 1.0, 5.0, 1), Memory(20, 8, 2.0, 5.0, 2)
    one = Deck({"a/x": early, "b/x": late}, (Review(1.0, "a/x", 3, 1, 9),))
    other = Deck({"a/x": late, "c/x": early}, (*one.log, Review(0.5, "c/x", 1, 1, 9)))
    both = transfer.merged_decks(one, other)
    assert both.memories == {"a/x": late, "b/x": late, "c/x": early}
    assert [review.card for review in both.log] == ["c/x", "a/x"]
    assert transfer.merged_decks(both, one) == both


def test_a_deck_is_the_same_after_it_was_written(monkeypatch, tmp_path):
    monkeypatch.setattr(decks, "FILE", tmp_path / "review.json")
    assert decks.read() == Deck()
    for number in range(3):
        decks.begin(f"{number}", f"{number}/hunt")
        decks.grade(f"{number}/hunt", Grade.GOOD, 6, 61.2, NOW)
    decks.begin("1", "1/write/f")
    kept = decks.read()
    assert (len(kept.memories), len(kept.log), kept.begun) == (3, 3, {"1": "1/write/f"})
    assert {memory.last for memory in kept.memories.values()} == {TODAY}
    assert line(NOW) == "" or "Due for review" in line(NOW)
