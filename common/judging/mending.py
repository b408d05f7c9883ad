"""Where one small change would do: it is looked for by trying, and its place is told, not what belongs there."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import time
import warnings
from collections.abc import Callable, Sequence

from common.course.catalogue import find
from common.judging import loading
from common.judging.causes import Mend
from common.judging.checks import Check
from common.judging.limited import limited
from common.judging.overwriting import IN_A_LINE, writes_outside
from common.judging.records import Outcome, Request, Status
from common.judging.variations import Source, Variation
from common.judging.way_back import IS_CUT

PATIENCE = 6.0  # seconds of computing
# Some changes loop without end. The check that is asked first may take so many times what it took, and all so long:
_TIMES, _LEAST, _EACH = 20.0, 0.2, 5.0  # seconds on the clock
_TIMED = 6  # failing checks of which the quickest is asked first
_LINES = 2  # where a change in any of more will do, none of them tells what is wrong
_MANY = 4
_GUARDS = (ast.If, ast.Assert, ast.Raise, ast.While, ast.Try)
_FIRST_NAN = re.compile(
    r"The first NaN on the way there is made in line (\d+)"
)  # as not_numbers says it
_NAMED = re.compile(r"line (\d+), `")
_CODE = 60  # characters of a line in a sentence
# A file that names one of these is left alone: a changed one could overwrite what it should not.
_TOUCHES = {
    "os", "shutil", "subprocess", "socket", "multiprocessing", "tempfile", "unlink", "rmdir",
    "rename", "mkdir", "touch", "write", "write_text", "write_bytes", "writelines", "truncate", "save", "save_file",
}  # fmt: skip


def mends(
    request: Request, checks: Sequence[Check], outcomes: Sequence[Outcome]
) -> tuple[Mend, ...]:
    """Small changes with each of which all checks pass whose parts are written; empty where they tell nothing.

    Args:
        checks, outcomes: of the whole problem, in the same order.
    """
    try:
        text = request.source if request.source is not None else loading.read_source(request.file)
        source = Source(text)
        if _touches_files(source.tree):
            return ()
        asked, took = _quickest_first(request, text, checks, outcomes)
    except (SyntaxError, loading.LoadFailure, NotImplementedError):
        return ()  # it was saved anew meanwhile
    if not asked:
        return ()
    limit = max(_LEAST, _TIMES * took)
    found: list[Variation] = []
    deadline = time.process_time() + PATIENCE
    plausible = _plausible(outcomes)
    for variation in source.mends(find(request.problem).reference_text):
        if time.process_time() > deadline:
            break
        if plausible(variation) and _passes(request, variation.source, asked, limit):
            found.append(variation)
    return _told(found, text.splitlines())


def _quickest_first(
    request: Request, text: str, checks: Sequence[Check], outcomes: Sequence[Outcome]
) -> tuple[list[Check], float]:
    """The checks to ask, one first that fails soon, and its seconds; none where one fails only after other calls."""
    pairs = [*zip(checks, outcomes, strict=True)]
    wrong = [check for check, outcome in pairs if outcome.status.is_wrong]
    module = loading.execute(text, request.file, loading.tree(request.earlier))
    took: dict[Check, float] = {}
    for check in wrong[:_TIMED]:
        begun = time.process_time()
        if not check.run(module).status.is_wrong:
            return [], 0.0
        took[check] = time.process_time() - begun
    passed = [check for check, outcome in pairs if outcome.status == Status.PASSED]
    ordered = sorted(wrong, key=lambda check: took.get(check, float("inf")))
    return [*ordered, *passed], min(took.values())


def _passes(request: Request, text: str, checks: Sequence[Check], first: float) -> bool:
    """Whether a version passes; the first check is asked with a limit of its own."""
    module = None
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python's compiler, too
            with limited(first):
                module = loading.execute(text, request.file, loading.tree(request.earlier))
                if checks[0].run(module).status != Status.PASSED:
                    return False
            with limited(_EACH):
                return all(check.run(module).status == Status.PASSED for check in checks[1:])
    except (TimeoutError, loading.LoadFailure, NotImplementedError):
        return False
    finally:
        if module:
            loading.forget(module)


def _plausible(outcomes: Sequence[Outcome]) -> Callable[[Variation], bool]:
    """Which changes may be mends of what was seen, and no accidents."""
    wrong = [outcome for outcome in outcomes if outcome.status.is_wrong]
    said = [" ".join((*outcome.facts, outcome.error)) for outcome in wrong]
    # What raises anywhere would do; what makes other numbers than those that are lost, unless it is where they are;
    # what never gets to the place that writes, or hands it a copy.
    accident = any(re.search(r"\bgot +no error", facts) for facts in said)
    lost = all(re.search(r"\bnan\b|infinit", facts, re.IGNORECASE) for facts in said)
    kept_from = any(map(writes_outside, wrong))
    made = {int(line) for o in wrong for line in _FIRST_NAN.findall(o.because)}
    after = (o.because.partition(said)[2] for o in wrong for said in (IN_A_LINE, IS_CUT))
    named = {int(line) for text in after for line in _NAMED.findall(text)}
    few = _MANY * len(wrong) < len(outcomes)  # the opposite of a condition breaks more

    def plausible(variation: Variation) -> bool:
        conditional = isinstance(variation.within, _GUARDS)
        elsewhere = variation.shorter or variation.line not in made
        unlikely = (lost and elsewhere) or (few and variation.flips)
        unlikely |= bool(named) and variation.line not in named
        return not (unlikely or (kept_from and conditional) or (accident and not conditional))

    return plausible


def _told(found: Sequence[Variation], lines: Sequence[str]) -> tuple[Mend, ...]:
    """One change for each line; the further ones only where no simple one will do."""
    for which in (lambda v: v.simple, lambda v: not v.simple):
        places: dict[int, Variation] = {}
        for variation in filter(which, found):
            places.setdefault(variation.line, variation)
        if places:
            return tuple(_mend(v, lines) for v in places.values()) if len(places) <= _LINES else ()
    return ()


def _mend(variation: Variation, lines: Sequence[str]) -> Mend:
    at, code = f"line {variation.line}", lines[variation.line - 1].partition("  #")[0].strip()
    if len(code) > _CODE:
        code = f"{code[: _CODE - 4]} ..."
    said = variation.said.replace("{at}", at).replace("{code}", f"{at}, `{code}`")
    return Mend(variation.line, said)


def _touches_files(tree: ast.Module) -> bool:
    """Whether a file names what writes, deletes or starts something."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id="exec" | "eval"):
                return True
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                if name.partition(".")[0] in _TOUCHES:
                    return True
            case ast.Call(func=ast.Name(id="open") | ast.Attribute(attr="open")):
                if any(
                    isinstance(part, ast.Constant) and set(str(part.value)) & {*"wax+"}
                    for part in ast.walk(node)
                ):
                    return True
    return False
