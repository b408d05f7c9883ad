"""One small change that would do is found by trying, and told by its place; nothing is told where it tells nothing."""

from __future__ import annotations

import ast

import pytest

from common.course.catalogue import find, problems
from common.judging.collecting import checks_of
from common.judging.loading import execute
from common.judging.mending import mends
from common.judging.records import Request, Verdict
from common.judging.report import holds_back, report
from common.judging.runner import outcomes_of, run
from common.judging.variations import Source

ADDED = "return self.drop(self.wte(input_ids) + self.wpe(positions))"
ODD = """
class A:
    @property
    def size(self):  # é
        text = f"é{self.a + 1}!" "b"
        if self.b[1:, 2]: return -3, text
        elif self.c >= 2:
            with open(text) as file, self.lock:
                pass
        else:
            for x in (a for a in range(len(self.d) - 1)):
                x -= 1; continue
        return lambda x, *y: x.view(1, 2, keepdim=True).T
"""


def found_in(key: int, old: str, new: str) -> list[str]:
    """What is said of a reference in which one piece is another."""
    problem = find(key)
    assert old in problem.reference_text
    source = problem.reference_text.replace(old, new, 1)
    request = Request(problem.name, problem.solution, source=source)
    outcomes = outcomes_of(problem, execute(source, problem.solution))
    assert any(outcome.status.is_wrong for outcome in outcomes)
    return [mend.said for mend in mends(request, checks_of(problem), outcomes)]


@pytest.mark.parametrize(
    ("key", "old", "new", "said"),
    [
        (1, "T > limit", "T >= limit", "another comparison in `T >= limit`"),
        (1, "input_ids.size(1), self", "input_ids.numel(), self", "another size than `input_ids.numel()`"),
        (1, "n_positions, config.n_embd)", "n_positions, config.n_embd, max_norm=2)", "`max_norm=2` left out"),
        (1, "positions = torch", "input_ids -= 1\n        positions = torch", "left out"),
        (1, "T > limit", "T > limit - 1", "`limit` in place of `limit - 1`"),
        (3, "query.size(-1)", "value.size(-1)", "something else than `value`"),
        (3, "powers / powers.sum", "powers / powers.detach().sum", "`powers` in place of `powers.detach()`"),
        (1, "arange(T, dev", "arange(1, T + 1, dev", "begun and ended one earlier or later"),
        (1, "T, device=input_ids.device", "T, dtype=torch.long", "the right device for `torch.arange(T, dty"),
        (5, "self.c_attn(x).chunk(3", "self.c_attn(x).detach().chunk(3", "`self.c_attn(x)` in place of"),
        (6, "math.sqrt(2 / math.pi)", "math.sqrt(2) / math.pi", "other brackets in `math.sqrt(2) / math.pi`"),
        (4, "nn.Linear(config.n_embd, 3 * config.n_embd)", "nn.Linear(config.n_embd, 3 * config.n_embd).half()",
         "`.half()` left out of line"),
        (6, "0.044715", "0.0474715", "another number in place of `0.0474715`"),
        (9, "value > 0", "value >= 0", "another comparison in `value >= 0`"),
        (9, 'f"{name} must be at least 1', '"{name} must be at least 1', "an f in front of"),
        (13, "len(ranks) < vocab_size:", "len(ranks) < vocab_size - 1:", "another comparison"),  # others never end
        (15, "model.eval()", "model.eval", "`model.eval` called"),
        (15, "text[:, -max_context:]", "text[:, -max_context + 1:]", "`-max_context` in place of"),
    ],
)  # fmt: skip
def test_the_place_is_found(key: int, old: str, new: str, said: str):
    told = found_in(key, old, new)
    assert any(said in each for each in told), told
    assert len(told) <= 2


def test_a_tensor_on_self_is_tried_as_a_buffer():
    problem = find(1)
    source = problem.reference_text
    for old, new in {
        "        self.wpe =": "        self.places = torch.arange(config.n_positions)\n        self.wpe =",
        "torch.arange(T, device=input_ids.device)": "self.places[:T]",
    }.items():
        assert old in source
        source = source.replace(old, new, 1)
    verdict = run(Request(problem.name, problem.solution, source=source))
    assert "`self.places` as a buffer, line 23" in " ".join(mend.said for mend in verdict.mends)


def test_an_argument_that_is_handed_on_under_its_name_is_meant():
    text = "def f(width, heads): pass\ndef g(width, heads, depth):\n    f(width, depth)\n    f(width, heads=heads)\n"
    said = [variation.said for variation in Source(text).mends("")]
    assert "something else than `depth` in {code}" in said
    assert not any("something else than `width`" in each for each in said)
    assert not any("something else than `heads`" in each for each in said)


def test_nothing_is_told_where_changes_in_many_places_would_do():
    # input_ids is changed only if all of this holds, so whatever makes one of them false is a change that would do.
    asked = [
        "a = T + 0",
        "b = a + 0",
        "c = b + 0",
        "if a == b == c == T: input_ids = input_ids * 0",
    ]
    wrong = "".join(f"{line}\n        " for line in asked) + "return self.drop("
    assert found_in(1, "return self.drop(", wrong) == []


@pytest.mark.parametrize("touching", ["Path.unlink", 'open("x", "w")', "torch.save", "eval"])
def test_a_file_that_writes_is_not_tried_out(touching: str):
    assert found_in(1, "T > limit", "T >= limit")
    assert found_in(1, "T > limit:", f"T >= limit:\n            lambda: {touching}") == []


def test_it_stands_in_the_report_and_can_be_held_back():
    problem = find(7)
    source = problem.reference_text.replace("centred / torch", "(centred - 0.001) / torch")
    verdict = run(Request(problem.name, problem.solution, source=source))
    (mend,) = verdict.mends
    said = " ".join(report(verdict))
    assert (
        f"One change is enough: with {mend.said}, all {len(verdict.outcomes)} checks pass." in said
    )
    assert "that a right run never has" not in said  # one voice
    assert "One change" not in " ".join(report(verdict, cause=False))
    assert holds_back(verdict)
    assert Verdict.from_json(verdict.to_json()).mends == verdict.mends


def test_where_a_known_mistake_is_the_cause_nothing_is_tried():
    problem = find(5)
    source = problem.reference_text.replace(".tril()", ".triu()")
    verdict = run(Request(problem.name, problem.solution, source=source))
    assert verdict.diagnosis
    assert not verdict.mends


@pytest.mark.parametrize("text", [ODD, *(p.reference_text for p in problems())])
def test_a_variation_is_the_text_with_one_piece_changed(text: str):
    lines = text.splitlines()
    for number, variation in enumerate(Source(text).mends(text)):
        ast.parse(variation.source)
        assert variation.source != text
        if number % 50 == 0:
            first = next(
                i
                for i, (a, b) in enumerate(
                    zip(lines, variation.source.splitlines(), strict=False), 1
                )
                if a != b
            )
            assert first >= variation.line - 1
            assert (
                lines[: variation.line - 2] == variation.source.splitlines()[: variation.line - 2]
            )


def test_no_change_takes_a_guard_or_a_parameter_away():
    text = (
        "import torch\nfrom torch import nn\n\n\nclass A(nn.Module):\n    def __init__(self, n):\n"
    )
    text += "        if n > 3:\n            raise ValueError(n)\n        self.p = nn.Parameter(torch.zeros(n))\n"
    sources = [variation.source for variation in Source(text).mends("")]
    assert any("n >= 3" in source for source in sources)  # the guard may be put right
    assert not any("if False" in source or "if (False)" in source for source in sources)
    assert not any("self.p = torch.zeros" in source for source in sources)


def test_where_a_cut_is_named_only_its_line_is_changed():
    problem = find("interview-02")
    right = "self.wpe(torch.arange(idx.size(1), device=idx.device))"
    cut = "self.wpe.weight.data[: idx.size(1)]"
    source = problem.reference_text.replace(right, cut)
    verdict = run(Request(problem.name, problem.solution, source=source))
    line = source[: source.index(cut)].count("\n") + 1
    assert {mend.line for mend in verdict.mends} <= {line}
