"""Pictures: one for each problem of the road, whatever the learner's file does; how it is shown; a mistake seen."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from functools import cache
from pathlib import Path

import pytest

from common import internals
from common.authoring import drawing as of_readmes
from common.cli import main
from common.course.catalogue import Problem, find, road
from common.errors import UsageError
from common.judging.picturing import picture_of
from common.judging.records import Request, Verdict
from common.judging.report import report
from common.judging.runner import run
from common.pictures import ideas, wrong
from common.pictures.letters import columns
from common.pictures.panels import Bars, Box, Heat, Line, Lines, Strips
from common.pictures.picture import Picture

each_problem = pytest.mark.parametrize("problem", road(), ids=lambda p: p.name)


@pytest.fixture(scope="module", autouse=True)
def _no_compiler():
    internals.put_off_the_compiler()
    yield
    ideas.close()


@cache
def drawn(problem: Problem, source: str | None = None, **controls: str) -> Picture:
    """The picture of a file with this text, drawn in this process."""
    owner = "yours" if source is not None else "reference"
    asked = Request(
        problem.name, problem.reference, owner=owner, source=source, picture=tuple(controls.items())
    )
    return Picture.from_json(run(asked).drawn)


def same(one: Picture, other: Picture) -> bool:
    """Equal but for the note; NaN is equal to itself."""
    return repr(one.panels) == repr(other.panels) and one.title == other.title


# --- the ideas -----------------------------------------------------------------------------------


@each_problem
def test_every_problem_has_a_picture_from_reference_and_skeleton(problem: Problem):
    reference, skeleton = drawn(problem), drawn(problem, problem.skeleton)
    assert reference.note.startswith("Drawn from the reference.")
    assert skeleton.note.startswith("Drawn from the reference, as yours is not written yet.")
    assert same(reference, skeleton)
    assert Picture.from_json(reference.to_json()) == reference
    assert reference.alt
    assert reference.panels


@each_problem
def test_the_learners_own_code_draws_when_it_works(problem: Problem):
    own = drawn(problem, problem.reference_text)
    assert own.note.startswith("Drawn from your own code.")
    assert same(own, drawn(problem))


@each_problem
@pytest.mark.parametrize("width", [80, 60])
def test_a_picture_fits_into_a_terminal(problem: Problem, width: int):
    lines = drawn(problem).text(width).splitlines()
    assert max(map(columns, lines)) <= width
    assert 5 < len(lines) < 90


@each_problem
def test_each_control_takes_its_bounds_and_refuses_what_is_beyond(problem: Problem):
    for control in ideas.controls(problem):
        assert control.value(control.default) or control.default == "0"
        if control.kind == "choice":
            for choice in control.choices[-1:]:
                drawn(problem, **{control.name: choice})
        elif control.kind == "number":
            assert control.low is not None
            drawn(problem, **{control.name: f"{control.low:g}"})
            for text in (f"{control.low - 1:g}", "many", "nan", "inf"):
                with pytest.raises(UsageError, match=control.name):
                    control.value(text)
        else:
            for text in ("", "x", "$\\frac{1}$ <b>&amp;</b>", "word " * 99, "狗 咬 人 \x1b[31m\0"):
                text = drawn(problem, **{control.name: text}).text(80)
                assert "\x1b" not in text


def test_half_a_file_draws_what_it_can():
    problem = find(5)
    text = problem.skeleton.replace(
        'raise NotImplementedError("problem 05: causal_mask")',
        "return torch.ones(seq_len, seq_len, dtype=torch.bool).triu()",
    )
    half = drawn(problem, text)
    assert half.note.startswith(
        "Yours: causal_mask. From the reference: CausalSelfAttention (not written yet)."
    )
    mask = half.panels[0]
    assert isinstance(mask, Heat)
    assert mask.values[0][-1] == 1
    assert mask.values[-1][0] == 0


BAD = {
    "does not load": ("def gelu(:", "does not load"),
    "nothing there": ("x = 1", "not there"),
    "raises": ("def gelu(x):\n    raise KeyError('no')\n", "KeyError"),
    "exits": ("def gelu(x):\n    raise SystemExit\n", "SystemExit"),
    "no tensor": ("def gelu(x):\n    return 'x'\n", "gave a str"),
    "huge": ("import torch\ndef gelu(x):\n    return torch.zeros(10**8)\n", "shape (100000000,)"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_file_that_cannot_draw_is_told_and_the_reference_draws(bad: str):
    source, told = BAD[bad]
    picture = drawn(find(6), source)
    assert told in picture.note
    assert same(picture, drawn(find(6)))


def test_numbers_that_are_none_are_shown_as_such():
    problem = find(2)
    lost = problem.reference_text.replace("return weights @", "return float('nan') * weights @")
    picture = drawn(problem, lost)
    assert "your own code" in picture.note
    assert isinstance(bars := picture.panels[1], Bars)
    assert all(map(math.isnan, bars.series[0][1]))
    assert "?" in picture.text(80)
    ElementTree.fromstring(picture.svg())


def test_an_endless_loop_is_ended_and_the_next_picture_comes(tmp_path, monkeypatch):
    problem = find(6)
    file = tmp_path / "solution.py"
    monkeypatch.setattr(Problem, "solution", file)
    file.write_text("def gelu(x):\n    while True:\n        pass\n", encoding="utf-8")
    picture = ideas.picture(problem, limit=1)
    assert "came to no end within 1 seconds (at " in picture.note
    assert same(picture, drawn(problem))
    file.write_text("import os\ndef gelu(x):\n    os._exit(3)\n", encoding="utf-8")
    assert "ended Python itself (at exit code 3)" in ideas.picture(problem).note
    file.write_text(problem.reference_text, encoding="utf-8")
    assert ideas.picture("06", {"spread": "2"}).note == "Drawn from your own code."
    assert [f.name for f in tmp_path.iterdir()] == ["solution.py"]


def test_a_control_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match="has no control 'colour': it has sentence, head"):
        ideas.picture("05", {"colour": "red"})
    assert ideas.controls("interview-01") == ()


# --- how they are drawn --------------------------------------------------------------------------

EVIL = "</title><script>alert(1)</script> $x^2$ \\frac \x1b[31m\0 ￾ 狗"
ALL = (
    Heat(EVIL, ((0.0, math.nan), (-1.0, math.inf)), (EVIL, ""), ("a", EVIL), EVIL, "", "diverging", mark=(1, 1)),
    Heat("numbers", ((1.0, 0.25),), numbers=True),
    Heat("mask", ((1.0, 0.0), (1.0, 1.0)), scale="mask"),
    Lines(EVIL, (Line("one", (1.0, 2.0), (3.0, math.nan)), Line("$", (1.0, 2.0), (1.0, 4.0))), log=True),
    Lines("none", (Line("one", (), ()),)),
    Bars(EVIL, ("a", EVIL), ((EVIL, (1.0, -2.0)), ("other", (math.nan, 0.0)))),
    Strips(EVIL, ((EVIL, (Box(0, 1, EVIL), Box(1, 4, "b", 1))), ("", ())), ("", "one")),
)  # fmt: skip


@pytest.mark.parametrize("theme", ["light", "dark", "auto"])
def test_an_svg_is_well_formed_and_holds_no_markup_of_anyone(theme: str):
    picture = Picture(EVIL, EVIL, ALL, EVIL)
    text = picture.svg(theme)
    root = ElementTree.fromstring(text)
    assert not [e for e in root.iter() if "script" in e.tag]
    assert "$x^2$" in text
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)
    assert text == picture.svg(theme)


def test_a_png_is_written_whole_and_leaves_nothing_beside_it(tmp_path: Path):
    Picture(EVIL, EVIL, ALL, EVIL).png(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert len([*tmp_path.iterdir()]) == 1


def test_text_obeys_nobody_and_stays_in_its_columns():
    for width in (30, 60, 80):
        lines = Picture(EVIL, EVIL, ALL, EVIL).text(width).splitlines()
        assert max(map(columns, lines)) <= width
        assert not any(c in line for line in lines for c in "\x1b\0")


# --- a mistake -----------------------------------------------------------------------------------


def judged(number: int, old: str, new: str) -> Verdict:
    problem = find(number)
    assert old in problem.reference_text
    verdict = run(
        Request(problem.name, problem.solution, source=problem.reference_text.replace(old, new))
    )
    return Verdict.from_json(verdict.to_json())


def test_a_mask_upside_down_is_seen_in_the_report():
    text = "\n".join(report(judged(5, ".tril()", ".triu()")))
    assert (
        "    expected       yours\n     # . . . .      #[#]# # #\n     # # . . .      . # # # #\n"
        in text
    )


def test_a_wrong_tensor_has_a_picture_with_axes_and_the_entry_marked():
    verdict = judged(5, "math.sqrt(q.", "math.sqrt(x.")
    (picture,) = wrong.pictures(verdict)
    expected, yours, off = picture.panels
    assert isinstance(expected, Heat)
    assert isinstance(yours, Heat)
    assert isinstance(off, Heat)
    assert (expected.row_axis, expected.column_axis) == ("B: text", "H: head")
    assert expected.mark == yours.mark == off.mark == (0, 0)
    assert expected.values[0][0] == 4.12086
    assert yours.values[0][0] == 2.37918
    assert "At [0, 0] 4.12086 was expected, and yours has 2.37918." in picture.note


def test_of_more_than_two_axes_the_slice_is_named():
    (picture,) = wrong.pictures(
        judged(4, ".transpose(1, 2)\n\n\ndef merge", ".transpose(1, 2).flip(1)\n\n\ndef merge")
    )
    assert picture.title == "head 0 of split_heads(x, 3), B 2: expected, yours, and the difference"
    assert "At [2, 2, 4] " in picture.note


def test_the_other_slices_can_be_slid_to():
    verdict = judged(
        4, ".transpose(1, 2)\n\n\ndef merge", ".transpose(1, 2).flip(1)\n\n\ndef merge"
    )
    (axis,) = wrong.controls(verdict)
    assert (axis.label, axis.default, axis.low, axis.high) == ("B: text", "2", 0, 3)
    (picture,) = wrong.pictures(verdict, {axis.name: "1"})
    assert ", B 1: expected, yours" in picture.title
    (named,) = wrong.pictures(verdict)
    for nonsense in ("99", "one", ""):
        assert wrong.pictures(verdict, {axis.name: nonsense}) == [named]


def test_the_first_wrong_tensor_inside_a_block_is_drawn():
    (picture,) = wrong.pictures(judged(10, "in self.h:", "in reversed(self.h):"))
    assert picture.title == "the input of `h.0`, B 0: expected, yours, and the difference"
    assert "At [0, 0, 6] 1.39943 was expected" in picture.note


def test_where_the_check_looks_at_no_tensor_the_next_one_does():
    (picture,) = wrong.pictures(judged(8, "self.ln_2, self.mlp", "self.ln_1, self.mlp"))
    assert "Seen by another check: the feed forward layer adds to what it reads." in picture.note


def test_what_is_no_tensor_has_no_picture():
    assert wrong.pictures(judged(9, "is None:", "is not None:")) == []
    problem = find(5)
    assert wrong.pictures(run(Request(problem.name, problem.reference))) == []


# --- the READMEs and the command -----------------------------------------------------------------


@each_problem
def test_the_picture_of_the_readme_is_what_the_reference_draws(problem: Problem):
    assert not of_readmes.trouble(problem)


def test_the_pictures_of_the_readmes_are_small():
    assert sum((p.folder / of_readmes.FILE).stat().st_size for p in road()) < 600_000


def test_a_stale_picture_is_noticed(tmp_path, monkeypatch):
    problem = find(9)
    text = (problem.folder / of_readmes.FILE).read_text(encoding="utf-8")
    monkeypatch.setattr(of_readmes, "content", lambda _: text.replace("124.4", "125.9").encode())
    assert not of_readmes.trouble(problem)  # a number that is nearly the same
    monkeypatch.setattr(of_readmes, "content", lambda _: text.replace("38.59", "48.59").encode())
    assert "make pictures" in of_readmes.trouble(problem)


def test_the_command_draws_into_the_terminal_and_into_a_file(tmp_path, capsys):
    assert main(["see", "09", "--reference", "--text", "--set", "size=xl"]) == 0
    assert "GPT-2 xl: 1,557,611,200 parameters" in capsys.readouterr().out
    file = tmp_path / "five.png"
    assert main(["see", "05", "dogs bite men", "--reference", "--png", str(file)]) == 0
    assert file.stat().st_size > 10_000
    assert main(["see", "09", "a sentence"]) == 2
    assert "takes no sentence" in capsys.readouterr().err
    assert main(["see", "05", "--png", str(tmp_path / "no" / "x.png")]) == 2
    assert main(["see", "05", "--set", "head"]) == 2
    assert main(["see", "05", "--set", "list"]) == 0
    assert "head" in capsys.readouterr().out


def test_a_problem_without_a_picture_says_so():
    with pytest.raises(Exception, match="has no picture"):
        picture_of(find("interview-01"), Request("interview-01", Path("x"), picture=()), "")
