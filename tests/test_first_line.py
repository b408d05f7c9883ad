"""The first wrong line: it names the mistake's own line, or it keeps silent."""

from __future__ import annotations

import pytest

from common.course.catalogue import find
from common.judging.records import Request
from common.judging.runner import run

# softmax step by step, each in a line of its own
STEPS = """    largest = scores.amax(dim, keepdim=True)
    powers = torch.exp(scores - largest)
    total = powers.sum(dim, keepdim=True)
    return powers / total
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("scores.amax(dim,", "scores.amax(-1,"),
        ("powers.sum(dim,", "powers.sum(-1,"),
        ("torch.exp(", "torch.exp2("),
    ],
)
def test_a_softmax_along_another_axis_is_followed_along_that_axis(old: str, new: str):
    problem = find(3)
    head, body = problem.reference_text.split("    powers = torch.exp(", 1)
    right = head + STEPS + body.partition("keepdim=True)\n    return")[2].partition("\n")[2]
    wrong = right.replace(old, new, 1)
    verdict = run(Request(problem.name, problem.solution, source=wrong))
    assert verdict.first_line
    assert new in verdict.first_line.code


def test_scores_that_are_only_turned_make_no_later_line_wrong():
    problem = find(5)
    wrong = problem.reference_text.replace("q, k, v = (", "k, q, v = (")
    verdict = run(Request(problem.name, problem.solution, source=wrong))
    assert verdict.wrong
    assert verdict.first_line is None


def test_a_mask_that_is_missing_is_missed_where_its_scores_are_read():
    problem = find(5)
    wrong = problem.reference_text.replace(
        "scores = scores.masked_fill(", "_ = scores.masked_fill("
    )
    verdict = run(Request(problem.name, problem.solution, source=wrong))
    assert verdict.first_line
    assert "torch.softmax(scores" in verdict.first_line.code


def test_a_tensor_that_only_helps_is_no_wrong_line():
    problem = find(3)
    head, _, tail = problem.reference_text.partition("    scores = query @ ")
    wrong = f"""{head}    unit = torch.eye(value.size(-2))
    both = torch.cat([value, unit.expand(*value.shape[:-1], -1)], -1)
    extra = None if mask is None else mask.float()
    mixed = torch.nn.functional.scaled_dot_product_attention(query, key, both, attn_mask=extra)
    return mixed[..., : value.size(-1)], mixed[..., value.size(-1) :]
"""
    assert tail
    verdict = run(Request(problem.name, problem.solution, source=wrong))
    assert verdict.wrong
    assert not verdict.first_line


def test_where_the_way_back_is_cut_is_named():
    problem = find(6)
    line = "cube = x.detach() * x * x"
    wrong = problem.reference_text.replace(
        "    return 0.5 * x", f"    {line}\n    return 0.5 * x"
    ).replace("x**3", "cube")
    verdict = run(Request(problem.name, problem.solution, source=wrong))
    assert any("It is cut in line" in o.because and line in o.because for o in verdict.wrong)


def test_a_cut_is_found_in_a_training_run_that_checks_share():
    problem = find("interview-02")
    right = "self.wpe(torch.arange(idx.size(1), device=idx.device))"
    assert right in problem.reference_text
    wrong = problem.reference_text.replace(right, "self.wpe.weight.data[: idx.size(1)]")
    verdict = run(Request(problem.name, problem.solution, source=wrong))
    assert any(
        "It is cut in line" in o.because and "weight.data" in o.because for o in verdict.wrong
    )


def test_where_rounding_alone_makes_other_numbers_no_line_is_wrong():
    problem = find(7)
    wrong = problem.reference_text.replace("centred.square().mean", "centred.mean")
    verdict = run(Request(problem.name, problem.solution, source=wrong))
    assert verdict.first_line
    assert (
        "centred.mean" in verdict.first_line.code
    )  # not the line before it, with inputs of a thousand


def test_a_maximum_that_is_kept_off_the_way_back_is_no_cut():
    problem = find("interview-03")
    detached = problem.reference_text.replace(
        "highest = scores.amax(dim, keepdim=True)",
        "highest = scores.amax(dim, keepdim=True).detach()",
    )
    halved = detached.replace(
        "weights.sum(dim, keepdim=True).clamp(min=0.5)",
        "torch.maximum(weights.sum(dim, keepdim=True), torch.ones(()))",
    )
    assert halved != detached != problem.reference_text
    verdict = run(Request(problem.name, problem.solution, source=halved))
    assert verdict.wrong
    assert not any("It is cut in" in outcome.because for outcome in verdict.wrong)


def test_what_a_check_goes_on_to_work_with_leads_to_its_line():
    problem = find(5)
    after, before = "self.resid_dropout(self.c_proj(", "self.c_proj(self.resid_dropout("
    wrong = problem.reference_text.replace(after, before)
    verdict = run(Request(problem.name, problem.solution, source=wrong))
    assert verdict.first_line
    assert before in verdict.first_line.code  # the check counts zeros and compares no tensor


def test_a_multiple_of_a_right_tensor_is_told_as_one():
    problem = find(7)
    wrong = problem.reference_text.replace(
        "centred.square().mean(dim=-1, keepdim=True)",
        "centred.square().sum(dim=-1, keepdim=True) / (centred.size(-1) - 1)",
    )
    verdict = run(Request(problem.name, problem.solution, source=wrong))
    assert verdict.first_line
    assert "it is 1.071 times one that a right run has" in verdict.first_line.sentence()  # 15 / 14
