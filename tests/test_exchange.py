"""The exchange as a whole: answers earn through it what they earn in one process, and inputs stay secret."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from common.course.catalogue import Problem, find, problems
from common.course.mistakes import Mistake, known
from common.grading.engine import Engine
from common.grading.marks import read_scheme
from common.grading.rooms import Limits
from common.judging.loading import read_source

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="grading needs Linux")

RIGHT = sorted((Path(__file__).parent / "right").glob("*/*.py"))
# Each of them was refused once, or does something else that the exchange has to know about.
ODD = {
    "01-embeddings/mixin_first", "03-scaled-attention/autograd_function_and_sdpa", "09-config/slots_metaprogram",
    "12-training/fork_rng", "15-generation/iterator_and_bisection", "16-pretraining/hooks_and_subclass",
    "16-pretraining/step_with_closure", "17-pretrained/model_on_meta", "18-kv-cache/patched_and_restored",
    "interview-04-adam/step_of_its_own",
}  # fmt: skip


@pytest.fixture(scope="module")
def engine(sandbox: bool) -> Iterator[Engine]:
    made = Engine(problems(), "a secret of tests", Limits(60), workers=1, sandbox=sandbox)
    yield made
    made.close()


def points(engine: Engine, problem: Problem, text: str) -> tuple[float, Any]:
    """What a text earns of all points, and why not more."""
    result = engine.grade({problem.name: text})[problem.name]
    scheme = read_scheme()
    earned = scheme.earned(
        problem, engine.checks[problem.name], result["passed"], engine.free[problem.name]
    )
    share = sum(e.points for e in earned) / scheme.points(problem)
    return float(share), (result["failed"][:2], result["flags"], result["ends"], result["failure"])


@pytest.mark.parametrize("problem", problems(), ids=lambda p: p.name)
def test_the_reference_earns_all_and_the_skeleton_nothing(engine: Engine, problem: Problem):
    share, why = points(engine, problem, problem.reference_text)
    assert share == 1, why
    assert points(engine, problem, problem.skeleton)[0] == 0


def named(file: Path) -> str:
    return f"{file.parent.name}/{file.stem}"


def drawn(name: str) -> int:
    """What names are drawn by: a new one leaves most draws as they are."""
    return crc32(name.encode())


def some_right() -> list[Path]:
    """The odd right answers, and one of each problem's others; `make grading-full` tries them all."""
    odd = [f for f in RIGHT if named(f) in ODD]
    assert len(odd) == len(ODD)
    others = [[f for f in RIGHT if f not in odd and f.parent.name == p.name] for p in problems()]
    return odd + [min(files, key=lambda f: drawn(f.stem)) for files in others if files]


@pytest.mark.parametrize("file", some_right(), ids=named)
def test_a_right_answer_earns_all(engine: Engine, file: Path):
    share, why = points(engine, find(file.parent.name), read_source(file))
    assert share == 1, why


# What shows only where two answers are one object, or an input has another shape afterwards.
MISTAKES = {
    "13": {"a cache gives one dict out twice", "the cache's own list goes out"},
    "14": {"one tensor for all callers", "the batch axis is taken off in place"},
}


def some(problem: Problem) -> list[Mistake]:
    """A few of a problem's known mistakes; `make grading-full` tries them all."""
    chosen = MISTAKES.get(problem.key) or {min((m.name for m in known(problem)), key=drawn)}
    found = [m for m in known(problem) if m.name in chosen]
    assert len(found) == len(chosen)
    return found


@pytest.mark.parametrize("problem", problems(), ids=lambda p: p.name)
def test_some_known_mistakes_lose_points(engine: Engine, problem: Problem):
    for mistake in some(problem):
        share, _ = points(engine, problem, mistake.apply(problem.reference_text))
        assert share < 1, mistake.name


def test_inputs_are_secret_and_follow_from_the_secret_alone():
    from common.grading.seeded import lucky
    from common.judging.collecting import checks_of
    from common.judging.loading import load

    problem = find(5)
    reference = load(problem.reference)
    check = next(c for c in checks_of(problem) if c.name == "test_eval_mode_is_repeatable")
    seeds = [next(lucky(check, problem, secret, reference)).seed for secret in ("a", "a", "b")]
    assert seeds[0] == seeds[1] != seeds[2]
    others = {next(lucky(c, problem, "a", reference)).seed for c in checks_of(problem)[:8]}
    assert len(others) == 8
