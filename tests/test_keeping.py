"""What outlives a call is told by name, where it is what a check fails by."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.course.catalogue import find
from common.judging.keeping import kept, told_of
from common.judging.loading import execute
from common.judging.records import Request
from common.judging.runner import run

HEAD = """
from functools import cache
import torch
"""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("seen = []\ndef f(x):\n    seen.append(x)", "`seen`, a global name"),
        ("last = None\ndef f(x):\n    global last\n    last = x", "`last`, a global name"),
        ("def f(x, found=[]):\n    found.append(x)", "the default value of `found` in `f`"),
        ("def f(x, *, found={}):\n    found[x] = 1", "the default value of `found` in `f`"),
        ("@cache\ndef f(x):\n    return [x]", "the results that a cache keeps of `f`"),
        ("def f(x):\n    f.count = f.__dict__.get('count', 0) + x", "`f.count`, an attribute of the function"),
        ("class A:\n    all = {}\ndef f(x):\n    A.all[x] = [x]", "`A.all`, an attribute of the class"),
        ("total = torch.zeros(3)\ndef f(x):\n    total.add_(x)", "`total`, a global name"),
        ("table = {1: torch.zeros(2)}\ndef f(x):\n    table[1][0] = x", "`table`, a global name"),
        ("class A:\n    n = None\na = A()\ndef f(x):\n    a.n = x", "`a.n`, an attribute of a global object"),
        ("known = {1: [2]}\ndef f(x):\n    return [*known, x]", ""),
        ("class A:\n    def __init__(self):\n        self.all = []\ndef f(x):\n    A().all.append(x)", ""),
    ],
)  # fmt: skip
def test_what_a_call_has_left_is_named(text: str, says: str, tmp_path: Path):
    module = execute(HEAD + text, tmp_path / "solution.py")
    before = kept(module)
    module.f(5)
    assert told_of(before, module) == says


def test_a_report_names_it():
    problem = find("06")
    right, wrong = (
        "    return 0.5 * x",
        "    _calls.append(0)\n    x = x + len(_calls) // 9\n    return 0.5 * x",
    )
    assert right in problem.reference_text
    text = problem.reference_text.replace(right, wrong) + "\n\n_calls = []\n"
    verdict = run(Request(problem.name, problem.solution, source=text))
    first = next(o for o in verdict.outcomes if o.status.is_wrong)
    assert "What the check left changed in your file: `_calls`, a global name." in first.because


def test_a_check_that_asks_for_it_names_it_too():
    problem = find("06")
    text = problem.reference_text + (
        "\n\n_right, _known = gelu, {}\n\n\n"
        "def gelu(x):\n    return _known.setdefault((id(x), x.shape), (x, _right(x)))[1]\n"
    )
    verdict = run(Request(problem.name, problem.solution, source=text))
    first = next(o for o in verdict.outcomes if o.status.is_wrong)
    assert first.because.endswith(
        "What the check left changed in your file: `_known`, a global name."
    )


def test_what_earlier_checks_have_left_is_named_too():
    problem = find("09")
    text = problem.reference_text + (
        "\n\n_sizes = {}\n_right = GPT2Config.num_parameters\n\n\n"
        "def _count(self):\n    return _sizes.setdefault(self.n_layer, _right(self))\n\n\n"
        "GPT2Config.num_parameters = _count\n"
    )
    verdict = run(Request(problem.name, problem.solution, source=text))
    said = [o.because for o in verdict.outcomes if o.status.is_wrong]
    assert any("`_sizes`, a global name" in because for because in said)


def test_a_call_in_one_type_leaves_nothing_to_the_next_in_another():
    problem = find("07")
    right = "        return centred / torch.sqrt(variance + self.eps) * self.weight + self.bias"
    kept_weight = (
        "        if not hasattr(self, 'wide'):\n            self.wide = self.weight.float().clone()\n"
        "        out = centred / torch.sqrt(variance + self.eps) * self.wide.detach() + self.bias\n"
        "        return out.to(x.dtype) + 0 * self.weight"
    )
    assert right in problem.reference_text
    text = problem.reference_text.replace(right, kept_weight)
    verdict = run(
        Request(
            problem.name, problem.solution, source=text, checks=("test_it_works_in_half_precision",)
        )
    )
    assert "other weights" in verdict.outcomes[0].facts[0]


def test_a_product_of_a_parameter_is_told_before_any_call_is_blamed():
    problem = find("interview-01")
    text = problem.reference_text
    for right, wrong in {
        "nn.Linear(embed_dim, embed_dim)": "nn.Parameter(torch.randn(embed_dim, embed_dim)) * 0.02",
        "self.proj(out.transpose(1, 2).reshape(B, T, C))": "out.transpose(1, 2).reshape(B, T, C) @ self.proj",
    }.items():
        assert right in text
        text = text.replace(right, wrong)
    verdict = run(Request(problem.name, problem.solution, source=text))
    assert verdict.shown.facts[0] == "`self.proj` is a tensor that was computed, and no parameter"
