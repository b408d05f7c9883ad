"""The course checks itself: skeletons, references, READMEs, and that nothing is left solved."""

from __future__ import annotations

import ast
import doctest
import inspect
import io
import re
from pathlib import Path

import pytest

from common import GPT2Config
from common.course import catalogue
from common.course.catalogue import ROOT, Problem, problems
from common.judging import loading
from common.judging.collecting import checks_of
from common.judging.records import Request, Status
from common.judging.report import report
from common.judging.runner import outcomes_of, run
from common.learner import progress

each_problem = pytest.mark.parametrize("problem", problems(), ids=lambda p: p.name)

SECTIONS = [
    "Goal",
    "The idea",
    "By hand",
    "Build",
    "Hints",
    "When you see this",
    "Check",
    "Go further",
    "Read",
]
INTERVIEW_SECTIONS = ["Task", "Build", "Constraints", "Examples", "Hints", "Check"]
DETAILS = re.compile(r"<details>.*?</details>", re.S)


# --- skeletons and references --------------------------------------------------------------------


@each_problem
def test_the_skeleton_loads_and_waits_to_be_written(problem: Problem):
    outcomes = outcomes_of(problem, loading.execute(problem.skeleton, problem.solution))
    assert any(o.status == Status.TODO for o in outcomes)
    ours = [(o.name, o.facts) for o in outcomes if o.status == Status.ERROR]
    assert not ours, "a skeleton is unfinished, never broken"
    holes = re.findall(r'raise NotImplementedError\("(.*?)"\)', problem.skeleton)
    assert holes
    assert all(re.match(rf"problem {problem.key}: \w+", hole) for hole in holes), holes
    assert f"TODO({problem.key})" in problem.skeleton


@each_problem
def test_nothing_that_a_skeleton_gives_passes_a_whole_problem(problem: Problem):
    outcomes = outcomes_of(problem, loading.execute(problem.skeleton, problem.solution))
    assert sum(o.status == Status.PASSED for o in outcomes) < len(outcomes) / 2


@pytest.mark.skipif(progress.FOLDER.exists(), reason="a learner works in this checkout")
@each_problem
def test_no_problem_is_left_solved(problem: Problem):
    assert problem.solution.read_text(encoding="utf-8") == problem.skeleton, (
        "gpt2 author skeleton writes it"
    )


def public(source: str) -> dict[str, tuple[str, str]]:
    """Signature and docstring of each public function, class and method, by name."""
    found = {}

    def visit(body, prefix):
        for node in body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                private = node.name.startswith("_") and node.name != "__init__"
                if private:
                    continue
                signature = ast.unparse(node.args) + str(node.returns and ast.unparse(node.returns)) \
                    if isinstance(node, ast.FunctionDef) else ", ".join(map(ast.unparse, node.bases))  # fmt: skip
                found[prefix + node.name] = (signature, ast.get_docstring(node) or "")
                if isinstance(node, ast.ClassDef):
                    visit(node.body, f"{node.name}.")

    visit(ast.parse(source).body, "")
    return found


@each_problem
def test_skeleton_and_reference_agree_in_names_signatures_and_docstrings(problem: Problem):
    skeleton, reference = public(problem.skeleton), public(problem.reference_text)
    names = {n for n in reference if not n.endswith("__init__")}
    assert {n for n in skeleton if not n.endswith("__init__")} == names
    for name in skeleton.keys() & reference.keys():
        assert skeleton[name] == reference[name], name


@each_problem
def test_every_public_name_of_a_reference_has_a_docstring(problem: Problem):
    bare = [
        n
        for n, (_, doc) in public(problem.reference_text).items()
        if not doc and "__init__" not in n
    ]
    assert not bare
    assert ast.get_docstring(ast.parse(problem.reference.read_text()))


@each_problem
def test_a_solution_imports_only_what_it_may(problem: Problem):
    import sys

    extra = {"13": {"regex"}, "17": {"safetensors", "huggingface_hub"}}.get(problem.key, set())
    allowed = {"torch", "common"} | set(sys.stdlib_module_names) | extra
    for source in (problem.reference_text, problem.skeleton):
        for node in ast.walk(ast.parse(source)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {n.split(".")[0] for n in names} <= allowed
            if isinstance(node, ast.ImportFrom) and node.module == "common":
                assert {a.name for a in node.names} <= {
                    "GPT2Config",
                    "gpt2_tokenizer",
                    "problem",
                }


def test_the_shared_config_is_the_reference_of_problem_09():
    def of(path):
        return next(
            ast.dump(n)
            for n in ast.parse(path.read_text()).body
            if isinstance(n, ast.ClassDef) and n.name == "GPT2Config"
        )

    assert of(ROOT / "common/config.py") == of(catalogue.find(9).reference)


# --- READMEs -------------------------------------------------------------------------------------


def headings(text: str) -> list[str]:
    return re.findall(r"^## (.+)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)


@each_problem
def test_the_readme_has_its_sections_in_order(problem: Problem):
    text = problem.readme.text
    label = f"Interview {problem.key[-2:]}" if problem.is_interview else problem.key
    assert text.startswith(f"# {label} · ")
    assert headings(text) == (INTERVIEW_SECTIONS if problem.is_interview else SECTIONS)
    assert problem.readme.difficulty in ("Easy", "Medium", "Hard")
    assert 10 <= problem.readme.minutes <= 120


@each_problem
def test_the_readme_has_three_hints_and_is_neither_thin_nor_long(problem: Problem):
    assert [title[:7] for title in (h.title for h in problem.readme.hints)] == [
        "Hint 1:",
        "Hint 2:",
        "Hint 3:",
    ]
    words = len(DETAILS.sub("", problem.readme.text).split())
    assert 250 <= words <= 1100, words


@each_problem
def test_the_readmes_examples_run(problem: Problem):
    names = dict(vars(loading.load(problem.reference)))
    blocks = re.findall(r"^```pycon\n(.*?)^```", problem.readme.text, re.S | re.M)
    assert blocks
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
    test = parser.get_doctest("\n".join(blocks), names, problem.name, str(problem.readme_file), 0)
    said = io.StringIO()
    runner.run(test, out=said.write)
    assert not runner.failures, said.getvalue()


@each_problem
def test_the_readme_names_everything_that_the_checks_use(problem: Problem):
    module = loading.load(problem.reference)
    used = {part for check in checks_of(problem) for part in check.run(module).parts}
    missing = sorted(name for name in used if not re.search(rf"\b{name}\b", problem.readme.text))
    assert not missing


def all_readmes():
    return [ROOT / "README.md", *(p.readme_file for p in problems())]


@pytest.mark.parametrize("path", all_readmes(), ids=lambda p: p.parent.name)
def test_relative_links_lead_somewhere_and_figures_are_right(path):
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", text):
        assert (path.parent / target).exists(), target
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


@pytest.mark.parametrize("path", all_readmes(), ids=lambda p: p.parent.name)
def test_readmes_keep_the_voice(path):
    text = re.sub(r"```.*?```|`[^`]*`", "", path.read_text(encoding="utf-8"), flags=re.S)
    assert "!" not in text.replace("![", "[")
    assert not re.search("[\U0001f300-\U0001faff]", text)


def test_the_failure_in_the_readme_is_what_a_learner_reads():
    problem = catalogue.find(5)
    wrong = problem.reference_text.replace("-torch.inf", "0.0")
    lines = report(run(Request(problem.name, problem.solution, source=wrong)))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "\n".join(lines[1:]) in text
    assert f"{problem.key} {problem.title} · problems/{problem.name}/solution.py (yours)\n" in text


def test_the_map_in_the_readme_is_the_catalogue():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for problem in problems():
        row = next(
            (
                line
                for line in text.splitlines()
                if f"problems/{problem.name}" in line and "|" in line
            ),
            "",
        )
        assert problem.title in row, problem.name
        assert f"{problem.readme.minutes} min" in row, problem.name
        assert problem.readme.difficulty.lower() in row.lower(), problem.name


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
    long = {
        str(path.relative_to(ROOT)): lines
        for path in [*(ROOT / "common").rglob("*.py"), *(ROOT / "solutions").rglob("solution.py")]
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 300
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
