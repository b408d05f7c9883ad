"""The course checks itself: skeletons, references, READMEs, and that nothing is left solved."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from common import GPT2Config
from common.authoring import behaviour, rules
from common.course import catalogue
from common.course.catalogue import ROOT, Problem, problems
from common.judging.records import Request
from common.judging.report import report
from common.judging.runner import run
from common.learner import progress
from common.shell import gpt2

each_problem = pytest.mark.parametrize("problem", problems(), ids=lambda p: p.name)


@each_problem
@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_every_problem_keeps_the_rules(problem: Problem, rule: rules.Rule):
    assert not rule(problem), rule.__doc__


@each_problem
def test_the_skeleton_loads_and_waits_to_be_written(problem: Problem):
    assert not behaviour.skeleton_trouble(problem)


@pytest.mark.skipif(progress.FOLDER.exists(), reason="a learner works in this checkout")
@each_problem
def test_no_problem_is_left_solved(problem: Problem):
    assert problem.solution.read_text(encoding="utf-8") == problem.skeleton, "gpt2 author skeleton"


@each_problem
def test_the_readme_names_everything_that_the_checks_use(problem: Problem):
    assert not behaviour.names_not_in_the_readme(problem)


def test_the_shared_config_is_the_reference_of_problem_09():
    def of(source: str) -> str:
        classes = [n for n in ast.parse(source).body if isinstance(n, ast.ClassDef)]
        return next(ast.dump(n) for n in classes if n.name == "GPT2Config")

    shared = (ROOT / "common/config.py").read_text(encoding="utf-8")
    assert of(shared) == of(catalogue.find(9).reference_text)


# --- READMEs -------------------------------------------------------------------------------------


def all_readmes():
    return [ROOT / "README.md", *(p.readme_file for p in problems())]


@pytest.mark.parametrize("path", all_readmes(), ids=lambda p: p.parent.name)
def test_relative_links_lead_somewhere(path):
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", all_readmes(), ids=lambda p: p.parent.name)
def test_large_figures_are_right(path):
    text = path.read_text(encoding="utf-8")
    counts = {
        f"{preset().num_parameters():,}"
        for preset in (
            GPT2Config.gpt2_small,
            GPT2Config.gpt2_medium,
            GPT2Config.gpt2_large,
            GPT2Config.gpt2_xl,
        )
    }
    small = GPT2Config()
    untied = f"{small.num_parameters() + small.vocab_size * small.n_embd:,}"
    C = small.n_embd
    attention, mlp = 4 * C * C + 4 * C, 8 * C * C + 5 * C
    parts = (small.vocab_size * C, attention, mlp, attention + mlp + 4 * C)
    for figure in re.findall(r"\b\d{1,3}(?:,\d{3}){2,}\b", text):
        assert figure in counts | {untied} | {f"{n:,}" for n in parts}, figure


def test_the_failure_in_the_readme_is_what_a_learner_reads():
    problem = catalogue.find(5)
    wrong = problem.reference_text.replace("math.sqrt(q.", "math.sqrt(x.")
    lines = report(run(Request(problem.name, problem.solution, source=wrong)))
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("uv run gpt2", gpt2("").strip())
    assert "\n".join(lines) in text


# --- the harness ---------------------------------------------------------------------------------


def imported(path: Path) -> set[str]:
    """The modules of common that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
    modules = {module_name(p) for p in (ROOT / "common").rglob("*.py")}
    return found & modules - {"common"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    """The package of a module, or the module itself where it stands at the top."""
    return module.split(".")[1]


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """Names that point to one another in a ring; empty where there is none."""
    left = dict(arrows)
    while left:
        ends = [name for name, others in left.items() if not others & left.keys() - {name}]
        if not ends:
            return sorted(left)
        for name in ends:
            del left[name]
    return []


def test_imports_between_rooms_and_within_them_run_one_way():
    modules = {
        module_name(path): imported(path)
        for path in (ROOT / "common").rglob("*.py")
        if path != ROOT / "common" / "__init__.py"  # the door that a solution.py comes in by
    }
    rooms: dict[str, set[str]] = {}
    for name, others in modules.items():
        rooms.setdefault(room(name), set()).update(room(o) for o in others if room(o) != room(name))
    assert not circle(rooms)
    for package in rooms:
        doors = {f"common.{package}"}
        inside = {n: o - doors for n, o in modules.items() if room(n) == package and n not in doors}
        assert not circle(inside), package


def test_every_room_says_at_its_door_what_it_is_for():
    for folder in (ROOT / "common").iterdir():
        if folder.is_dir() and folder.name != "__pycache__":
            assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), folder


def test_files_are_short_enough_to_hold_in_the_head():
    limits = {
        300: [*(ROOT / "common").rglob("*.py"), *(ROOT / "solutions").rglob("solution.py")],
        400: [*(ROOT / "problems").rglob("test_*.py")],
    }
    long = {
        str(path.relative_to(ROOT)): lines
        for limit, paths in limits.items()
        for path in paths
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > limit
    }
    assert not long


def test_every_function_of_the_harness_has_a_docstring_that_says_something():
    for path in sorted((ROOT / "common").rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith(
                ("_", "add_", "pytest_", "test_")
            ):
                doc = ast.get_docstring(node)
                short = inspect.cleandoc(ast.unparse(node)).count("\n") <= 3
                assert doc or short, f"{path.name}: {node.name}"
