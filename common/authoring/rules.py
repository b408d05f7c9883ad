"""What a problem's files have to be, as far as it can be read: each rule gives its complaints, a sentence each."""

from __future__ import annotations

import ast
import doctest
import io
import re
import sys
from collections.abc import Callable
from typing import Any

from common.course.catalogue import ROOT, Problem
from common.errors import CourseError, UsageError
from common.files import text
from common.grading.marks import read_scheme
from common.judging import loading
from common.judging.collecting import checks_of

Rule = Callable[[Problem], list[str]]

SECTIONS = [
    "Goal", "The idea", "By hand", "Build", "Hints", "When you see this", "Check", "Go further", "Read",
]  # fmt: skip
INTERVIEW_SECTIONS = ["Task", "Build", "Constraints", "Examples", "Hints", "Check"]
APPROACH_SECTIONS = ["Approach", "Why it is correct", "Complexity", "What comes next", "Pitfalls"]
EXPLAINED_SECTIONS = ["Line by line", "What it costs", "Without it", "As others do it", "Sources"]
QUESTIONS = 2  # of Go further, for `gpt2 review`
EXAMPLES, POINTS = (3, 6), (10, 20)  # in an interview; of a problem
WORDS = (250, 1100)  # of a README; what is folded, and what is told of a picture, left out
EXPLANATION_WORDS = (300, 900)  # of what is read after a pass, code left out
_EXTRA_IMPORTS = {"13": {"regex"}, "17": {"safetensors", "huggingface_hub"}}
_UNREAD = re.compile(r"<details>.*?</details>|!\[.*?\]\(.*?\)", re.S)
_CODE = re.compile(r"```.*?```", re.S)
_PYCON = re.compile(r"^```pycon\n(.*?)^```", re.S | re.M)


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
    found = _headings(readme.text)
    said = [] if found == wanted else [f"the sections are {found}, not {wanted}"]
    if not readme.text.startswith(f"# {label} · "):
        said.append(f"the first line is no `# {label} · Title`")
    if readme.difficulty not in ("Easy", "Medium", "Hard") or not 10 <= readme.minutes <= 120:
        said.append(
            "there is no line `**Easy** · about 20 minutes` (Easy, Medium or Hard; 10 to 120)"
        )
    return said


def readme_asks_on(problem: Problem) -> list[str]:
    """Questions to go further with, each with its answer."""
    count = len(problem.readme.questions)
    if problem.is_interview or count >= QUESTIONS:
        return []
    return [f"Go further has {count} questions, not at least {QUESTIONS}"]


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
    blocks = _PYCON.findall(problem.readme.text)
    if not blocks:
        return ["the README has no example that runs (```pycon)"]
    wrong = _untrue("\n".join(blocks), dict(vars(loading.load(problem.reference))))
    return [f"an example of the README does not run:\n{wrong}"] if wrong else []


def texts_keep_the_voice(problem: Problem) -> list[str]:
    """No exclamation marks, no emoji."""
    texts = {"the README": problem.readme.text, problem.explanation.name: _explanation(problem)}
    said = []
    for name, markdown in texts.items():
        text = re.sub(r"`[^`]*`", "", _CODE.sub("", markdown))
        if "!" in text.replace("![", "[") or re.search("[\U0001f300-\U0001faff]", text):
            said.append(f"{name} has an exclamation mark or an emoji")
    return said


def explanation_has_its_sections(problem: Problem) -> list[str]:
    """What is read after a pass: EXPLAINED.md, or APPROACH.md of an interview; title, headings, length."""
    name, text = problem.explanation.name, _explanation(problem)
    if not text:
        return [f"there is no {name} beside the reference"]
    wanted = APPROACH_SECTIONS if problem.is_interview else EXPLAINED_SECTIONS
    label = f"Interview {problem.key[-2:]}" if problem.is_interview else problem.key
    ends = ": the approach" if problem.is_interview else ", explained"
    title, found = f"# {label} · {problem.title}{ends}", _headings(text)
    said = [] if found == wanted else [f"the sections of {name} are {found}, not {wanted}"]
    if text.partition("\n")[0] != title:
        said.append(f"the first line of {name} is not {title!r}")
    words, (least, most) = len(_CODE.sub("", text).split()), EXPLANATION_WORDS
    if not least <= words <= most:
        said.append(f"{name} has {words} words beside its code, not {least} to {most}")
    return said


def explanation_shows_it(problem: Problem) -> list[str]:
    """Every `>>>` block of EXPLAINED.md gives what it says, each alone, on the reference."""
    if problem.is_interview or not (text := _explanation(problem)):
        return []
    without = text.partition("\n## Without it\n")[2].partition("\n## ")[0]
    said = [] if _PYCON.search(without) else ['"Without it" shows nothing that runs (```pycon)']
    names = vars(loading.load(problem.reference))
    wrong = [_untrue(block, dict(names)) for block in _PYCON.findall(text)]
    name = problem.explanation.name
    return said + [f"an example of {name} does not run:\n{w}" for w in wrong if w]


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
    points = sum(requirement.points for requirement in scheme.requirements[problem.name])
    try:
        scheme.functions(problem, [check.name for check in checks_of(problem)])
    except UsageError as error:
        return [f"common/grading/requirements.toml: {error}"]
    if points in POINTS:
        return []
    return [
        f"common/grading/requirements.toml: {problem.key} is worth {points} points, not 10 (20 in a long problem)"
    ]


def interview_has_its_examples(problem: Problem) -> list[str]:
    """A candidate finds three to six examples, told by their numbers."""
    captions = [example.caption[:10] for example in problem.readme.examples]
    right = [f"Example {k}." for k in range(1, len(captions) + 1)]
    low, high = EXAMPLES
    if not problem.is_interview or (captions == right and low <= len(captions) <= high):
        return []
    return [
        f"the README's examples are {captions or 'none'}; {low} to {high} are wanted, under **Example 1.** and on"
    ]


RULES: tuple[Rule, ...] = (
    skeleton_waits, skeleton_agrees, reference_has_docstrings, imports_are_allowed, readme_has_its_sections,
    readme_has_three_hints, readme_asks_on, readme_examples_run, texts_keep_the_voice, explanation_has_its_sections,
    explanation_shows_it, readme_of_the_course_lists_it, requirements_name_its_checks,
    interview_has_its_examples,
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


def _explanation(problem: Problem) -> str:
    return text(problem.explanation)


def _headings(markdown: str) -> list[str]:
    return re.findall(r"^## (.+)$", _CODE.sub("", markdown), re.M)


def _untrue(examples: str, names: dict[str, Any]) -> str:
    """What doctest says of these `>>>` lines; empty where all give what stands below them."""
    test = doctest.DocTestParser().get_doctest(examples, names, "example", None, 0)
    said, runner = io.StringIO(), doctest.DocTestRunner()
    runner.run(test, out=said.write)
    return said.getvalue() if runner.failures else ""


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
