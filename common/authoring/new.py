"""The folders of a new problem, filled with what every problem has."""

from __future__ import annotations

import os
import re
from pathlib import Path

from common.course.catalogue import OWN, ROOT, Problem, problems
from common.errors import UsageError
from common.files import write_atomically

_README = """# {label} · {title}

**Medium** · about 30 minutes

{sections}"""

_PARTS = {
    "Goal": "One sentence: what will work at the end that does not work now.",
    "Task": "What the interviewer says, in a few sentences, with the signature.",
    "The idea": "What it is and why it works, with a picture or a formula.",
    "By hand": "A worked example with numbers small enough to check on paper.\n\n```pycon\n>>> 1 + 1\n2\n```",
    "Build": "`{function}(x (B, T, C)) -> (B, T, C)`: what it promises, and its errors.\n\n"
    "Checks may ask for what stands here, and for no more.",
    "Constraints": "What may be used, what may not, and how large inputs get.",
    "Examples": "**Example 1.** The smallest case.\n\n```pycon\n>>> 1 + 1\n2\n```",
    "Hints": "\n\n".join(
        f"<details><summary>Hint {n}: {what}</summary>\n\n...\n\n</details>"
        for n, what in ((1, "a question"), (2, "the operation"), (3, "almost the line"))
    ),
    "When you see this": "| you see | it is |\n| --- | --- |\n| ... | ... |",
    "Check": "```text\nuv run gpt2 check {key}\n```",
    "Go further": "\n\n".join(
        f"<details><summary>{which} question that the solution raises?</summary>\n\nIts answer.\n\n</details>"
        for which in ("A", "Another")
    ),
    "Read": "- A paper, and its section.",
}

_REFERENCE = '''"""{title}: what this file is, in a sentence.

Shapes: B batch, T tokens, C n_embd.
"""

from torch import Tensor


def {function}(x: Tensor) -> Tensor:
    """(B, T, C) -> (B, T, C): what it gives."""
    # lesson: about 1 line
    return 2 * x
'''

_TESTS = '''"""Problem {key}: what {function} promises, from cause to consequence.

Shapes: B batch, T tokens, C n_embd.
"""

from common.testing import assert_close, assert_shape, draw

B, T, C = 2, 7, 15


def test_the_output_has_the_shape_of_the_input(solution):
    assert_shape(solution.{function}(draw("x", B=B, T=T, C=C)), (B, T, C), "the output")


def test_the_output_equals_the_references(solution, reference):
    x = draw("x", B=B, T=T, C=C)
    expected = reference.{function}(x.clone())
    assert_close(solution.{function}(x), expected, "the output", because="What the check asks for, and why.")
'''

_MISTAKES = """Known wrong answers to problem {key}: changes of solution.py beside this file, and what a learner reads.

@@ the input comes back unchanged
-    return 2 * x
+    return x
The output is the input itself: nothing was computed. What it should be instead, and where to look.
"""

_EXPLANATION = """# {label} · {title}{ends}

{sections}"""


def create(name: str, *, root: Path | None = None) -> Problem:
    """Make the folders of a problem.

    Args:
        name: "19-slug" or "interview-21-slug".
        root: where problems/ and solutions/ lie; default: $GPT2_COURSE, else this checkout.

    Raises:
        UsageError: that is no name of a problem, its number is taken, or `root` is no folder.
    """
    from common.authoring import rules

    if not re.fullmatch(r"(interview-)?\d\d-[a-z0-9]+(-[a-z0-9]+)*", name):
        raise UsageError(f"{name!r} is no name like 19-rotary-embeddings or interview-21-dropout")
    root = root or Path(os.environ.get(OWN) or ROOT).expanduser().resolve()
    try:
        (root / "problems").mkdir(parents=True, exist_ok=True)  # an own course's first problem
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"{root} is no folder") from None
    problem = Problem(name, root)
    if taken := next((p for p in problems() if p.key == problem.key), None):
        raise UsageError(f"{problem.key} is {taken.name} already: take another number")
    title = problem.slug.replace("-", " ").capitalize()
    fields = {"key": problem.key, "title": title, "function": problem.slug.replace("-", "_"),
              "label": f"Interview {problem.key[-2:]}" if problem.is_interview else problem.key}  # fmt: skip
    sections = rules.INTERVIEW_SECTIONS if problem.is_interview else rules.SECTIONS
    fields["sections"] = (
        "\n\n".join(f"## {s}\n\n{_PARTS[s]}" for s in sections).format(**fields) + "\n"
    )
    files = {
        problem.readme_file: _README,
        problem.folder / f"test_{fields['function']}.py": _TESTS,
        problem.reference: _REFERENCE,
        problem.mistakes: _MISTAKES,
    }
    for path, text in files.items():
        write_atomically(path, text.format(**fields))
    after = rules.APPROACH_SECTIONS if problem.is_interview else rules.EXPLAINED_SECTIONS
    fields["sections"] = "\n\n".join(f"## {s}\n\n..." for s in after) + "\n"
    fields["ends"] = ": the approach" if problem.is_interview else ", explained"
    write_atomically(problem.explanation, _EXPLANATION.format(**fields))
    write_atomically(problem.solution, problem.skeleton)
    problem.right.mkdir(parents=True, exist_ok=True)
    problems.cache_clear()
    return problem
