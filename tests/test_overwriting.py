"""Where a caller's tensor is written into, the line is told, under whatever name it is written."""

from __future__ import annotations

import pytest

from common.course.catalogue import find
from common.judging.records import Request
from common.judging.runner import run

PROBLEM = find("07")
TEXT = PROBLEM.reference_text
RIGHT = "        centred = x - x.mean(dim=-1, keepdim=True)\n"


def because_of(change: str) -> str:
    text = TEXT.replace(RIGHT, change)
    verdict = run(Request(PROBLEM.name, PROBLEM.solution, source=text))
    return next(o.because for o in verdict.outcomes if o.status.is_wrong)


@pytest.mark.parametrize(
    "change",
    [
        "        rows = x.view(-1, x.size(-1))\n        rows -= rows.mean(dim=-1, keepdim=True)\n        centred = x\n",
        "        y = x.detach()\n        y[...] = y - y.mean(dim=-1, keepdim=True)\n        centred = x\n",
        "        y = x.contiguous()\n        torch.Tensor.copy_(y, x * 1.5)\n        centred = y\n",
    ],
)  # fmt: skip
def test_the_line_that_writes_is_named(change: str):
    line = TEXT[: TEXT.index(RIGHT)].count("\n") + 2
    said = f"It is written to in line {line}, `{change.splitlines()[1].strip()}`."
    assert said in because_of(change)


def test_a_tensor_of_ones_own_may_be_written_into():
    said = because_of("        centred = (x + 0).sub_(x.mean(dim=-1, keepdim=True)).mul_(2)\n")
    assert "written to" not in said


def test_a_place_that_is_known_is_told_without_all_that_it_may_be():
    change = "        y = x.detach()\n        y *= 2\n        centred = x - x.mean(dim=-1, keepdim=True)\n"
    said = because_of(change)
    assert "`y *= 2`" in said
    assert "y[...] = ..." not in said


def test_what_backward_still_needs_is_found_line_by_line():
    problem = find("08")
    text = problem.reference_text.replace(
        "LayerNorm(config.n_embd, ", "nn.LayerNorm(config.n_embd, eps="
    )
    right = text[text.index("        x = pre_norm_residual") :]
    added = ("x += self.attn(self.ln_1(x))", "x += self.mlp(self.ln_2(x))")
    text = text.replace(
        right, "\n".join(f"        {line}" for line in ("x = x + 0", *added, "return x\n"))
    )
    verdict = run(Request(problem.name, problem.solution, source=text))
    said = next(o.because for o in verdict.outcomes if o.status.is_wrong)
    assert all(f"`{line}`" in said for line in added)
