"""What a problem's files have to be, as far as it can be read: each rule gives its complaints, a sentence each."""

from __future__ import annotations

import ast
import doctest
import io
import re
import sys
from collections.abc import Callable

from common.course.catalogue import ROOT, Problem
from common.errors import CourseError, UsageError
from common.grading.marks import read_scheme
from common.judging import loading
from common.judging.collecting import checks_of

Rule = Callable[[Problem], list[str]]

SECTIONS = [
    "Goal", "The idea", "By hand", "Build", "Hints", "When you see this", "Check", "Go further", "Read",
]  # fmt: skip
INTERVIEW_SECTIONS = ["Task", "Build", "Constraints", "Examples", "Hints", "Check"]
APPROACH_SECTIONS = ["Approach", "Why it is correct", "Complexity", "What comes next", "Pitfalls"]
WORDS = (250, 1100)  # of a README; what is folded, and what is told of a picture, left out
APPROACH_WORDS = (300, 900)
_EXTRA_IMPORTS = {"13": {"regex"}, "17": {"safetensors", "huggingface_hub"}}
_UNREAD = re.compile(r"<details>.*?</details>|!\[.*?\]\(.*?\)", re.S)


def skeleton_waits(problem: Problem) -> list[str]:
    """The skeleton has holes, each with its TODO and an error that names it."""
    text = problem.skeleton
    holes = re.findall(r'raise NotImplementedError\("(.*?)"\)', text)
    wrong = [hole for hole in holes if not re.match(rf"problem {problem.key}: \w+", hole)]
    said = [f"the skeleton's error {hole!r} does not name problem and function" for hole in wrong]
    if not holes:
        said.append("the reference marks no lesson (# lesson: ...), so its skeleton is the answer")
    return said


def skeleton_agrees(problem: Problem) -> list[str]:
    """Skeleton and reference have the same public names, signatures and docstrings."""
    skeleton, reference = public(problem.skeleton), public(problem.reference_text)
    own, theirs = (
        {n for n in names if not n.endswith("__init__")} for names in (skeleton, reference)
    )
    said = [f"{name} is not both in skeleton and reference" for name in sorted(own ^ theirs)]
    both = skeleton.keys() & reference.keys()
    return said + [
        f"{n}: signature or docstring differ" for n in both if skeleton[n] != reference[n]
    ]


def reference_has_docstrings(problem: Problem) -> list[str]:
    """The module and every public name say what they are."""
    bare = [
        n
        for n, (_, doc) in public(problem.reference_text).items()
        if not doc and "__init__" not in n
    ]
    said = [f"{name} of the reference has no docstring" for name in bare]
    module = ast.get_docstring(ast.parse(problem.reference_text))
    return said if module else [*said, "the reference has no docstring on top"]


def imports_are_allowed(problem: Problem) -> list[str]:
    """A solution imports torch, the standard library, and three names of common."""
    allowed = (
        {"torch", "common"} | set(sys.stdlib_module_names) | _EXTRA_IMPORTS.get(problem.key, set())
    )
    if problem.is_interview:
        allowed.discard("common")
    said = []
    for node in ast.walk(ast.parse(problem.reference_text)):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        said += [f"the reference imports {n}" for n in names if n.split(".")[0] not in allowed]
        if isinstance(node, ast.ImportFrom) and node.module == "common":
            inside = {a.name for a in node.names} - {"GPT2Config", "gpt2_tokenizer", "problem"}
            said += [f"the reference imports {n} from common" for n in sorted(inside)]
    return said


def readme_has_its_sections(problem: Problem) -> list[str]:
    """The headings in their order, the title, difficulty and minutes."""
    readme = problem.readme
    label = f"Interview {problem.key[-2:]}" if problem.is_interview else problem.key
    wanted = INTERVIEW_SECTIONS if problem.is_interview else SECTIONS
    found = re.findall(r"^## (.+)$", re.sub(r"```.*?```", "", readme.text, flags=re.S), re.M)
    said = [] if found == wanted else [f"the sections are {found}, not {wanted}"]
    if not readme.text.startswith(f"# {label} · "):
        said.append(f"the first line is no `# {label} · Title`")
    if readme.difficulty not in ("Easy", "Medium", "Hard") or not 10 <= readme.minutes <= 120:
        said.append(
            "there is no line `**Easy** · about 20 minutes` (Easy, Medium or Hard; 10 to 120)"
        )
    return said


def readme_has_three_hints(problem: Problem) -> list[str]:
    """Three folded hints, and a length that one reads."""
    titles = [hint.title[:7] for hint in problem.readme.hints]
    said = (
        []
        if titles == ["Hint 1:", "Hint 2:", "Hint 3:"]
        else [f"the hints are {titles}, not Hint 1: to Hint 3:"]
    )
    words = len(_UNREAD.sub("", problem.readme.text).split())
    if not WORDS[0] <= words <= WORDS[1]:
        said.append(
            f"the README has {words} words beside what is folded, not {WORDS[0]} to {WORDS[1]}"
        )
    return said


def readme_examples_run(problem: Problem) -> list[str]:
    """Every `>>>` block of the README gives what it says, on the reference."""
    blocks = re.findall(r"^```pycon\n(.*?)^```", problem.readme.text, re.S | re.M)
    if not blocks:
        return ["the README has no example that runs (```pycon)"]
    names = dict(vars(loading.load(problem.reference)))
    test = doctest.DocTestParser().get_doctest(
        "\n".join(blocks), names, problem.name, str(problem.readme_file), 0
    )
    said = io.StringIO()
    runner = doctest.DocTestRunner()
    runner.run(test, out=said.write)
    return [f"an example of the README does not run:\n{said.getvalue()}"] if runner.failures else []


def readme_keeps_the_voice(problem: Problem) -> list[str]:
    """No exclamation marks, no emoji."""
    text = re.sub(r"```.*?```|`[^`]*`", "", problem.readme.text, flags=re.S)
    loud = "!" in text.replace("![", "[") or re.search("[\U0001f300-\U0001faff]", text)
    return ["the README has an exclamation mark or an emoji"] if loud else []


def interview_has_an_approach(problem: Problem) -> list[str]:
    """APPROACH.md with its sections; one file that needs nothing of common."""
    if not problem.is_interview:
        return []
    if not problem.approach.is_file():
        return ["there is no APPROACH.md beside the reference"]
    text = problem.approach.read_text(encoding="utf-8")
    found = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    said = [] if found == APPROACH_SECTIONS else [f"the sections of APPROACH.md are {found}"]
    words = len(text.split())
    if not APPROACH_WORDS[0] <= words <= APPROACH_WORDS[1]:
        said.append(
            f"APPROACH.md has {words} words, not {APPROACH_WORDS[0]} to {APPROACH_WORDS[1]}"
        )
    return said


def readme_of_the_course_lists_it(problem: Problem) -> list[str]:
    """The README of this repository has a row for the problem, with its title, difficulty and minutes."""
    if problem.root != ROOT:
        return []
    title = problem.title if problem.is_interview else problem.label
    link = f"problems/{problem.name}/README.md"
    wanted = [title, problem.readme.difficulty.lower(), f"{problem.readme.minutes} min"]
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    row = next((line for line in lines if line.startswith("|") and link in line), "")
    if not row:
        whole = f"| [{title}]({link}) | what one builds | {' | '.join(wanted[1:])} |"
        return [f"the tables in the README of the repository have no row for it: {whole}"]
    return [
        f"its row in the README of the repository does not say {w!r}"
        for w in wanted
        if w not in row
    ]


def requirements_name_its_checks(problem: Problem) -> list[str]:
    """What a problem of this repository is worth stands in requirements.toml, and names checks that are there."""
    if problem.root != ROOT:
        return []
    scheme = read_scheme()
    if problem.name not in scheme.requirements:
        return [f"common/grading/requirements.toml has no entry for {problem.key}"]
    try:
        scheme.functions(problem, [check.name for check in checks_of(problem)])
    except UsageError as error:
        return [f"common/grading/requirements.toml: {error}"]
    return []


RULES: tuple[Rule, ...] = (
    skeleton_waits, skeleton_agrees, reference_has_docstrings, imports_are_allowed, readme_has_its_sections,
    readme_has_three_hints, readme_examples_run, readme_keeps_the_voice, interview_has_an_approach,
    readme_of_the_course_lists_it, requirements_name_its_checks,
)  # fmt: skip


def complaints(problem: Problem) -> list[str]:
    """What all rules say of a problem."""
    said: list[str] = []
    for rule in RULES:
        try:
            said += rule(problem)
        except (CourseError, SyntaxError, NotImplementedError) as error:
            said.append(str(error) or type(error).__name__)
    return list(dict.fromkeys(said))


def public(source: str) -> dict[str, tuple[str, str]]:
    """Signature and docstring of each public function, class and method, by name."""
    found = {}

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                signature = ", ".join(map(ast.unparse, node.bases))
            elif isinstance(node, ast.FunctionDef):
                signature = ast.unparse(node.args) + str(node.returns and ast.unparse(node.returns))
            else:
                continue
            if node.name.startswith("_") and node.name != "__init__":
                continue
            found[prefix + node.name] = signature, ast.get_docstring(node) or ""
            if isinstance(node, ast.ClassDef):
                visit(node.body, f"{node.name}.")

    visit(ast.parse(source).body, "")
    return found
