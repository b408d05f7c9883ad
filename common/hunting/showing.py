"""What a candidate reads: what was seen of the planted file, and at the end what became of each bug."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Sequence

from common.hunting.composing import Hunt, Place
from common.hunting.crediting import Debrief, Fate, Finding
from common.hunting.curves import curve_of
from common.judging.records import Outcome, Verdict
from common.train.plot import chart

_MARKS = {Fate.MENDED: "✓", Fate.WRONGLY: "~", Fate.MISSED: "✗"}
_FACTS = 4  # lines of what an experiment showed


def symptoms(given: Verdict, seen: Verdict) -> list[str]:
    """What was seen when the planted file was run.

    Args:
        given: all checks on it. seen: its examples, or the log of a run.
    """
    if seen.log:
        return ["The file was run:", "", *with_curve(seen.log)]
    lines = ["The examples of the task were tried:", ""] if seen.examples else []
    for example in seen.examples:
        lines.append(f"{'as it should' if example.passes else 'NOT SO':<13} {example.caption}")
        lines += [f"    {line}" for fact in example.facts for line in fact.splitlines()]
    if all(example.passes for example in seen.examples) and (outcome := reported(given)):
        lines += ["", *_report(outcome)] if lines else _report(outcome)
    return lines


def reported(given: Verdict) -> Outcome | None:
    """What somebody who uses the planted file complains of, where no example shows anything."""
    return next((o for o in given.outcomes if o.status.is_wrong), None)


def _report(outcome: Outcome) -> list[str]:
    said = f"Somebody who uses the file says that this does not hold: {outcome.sentence}."
    return [said, *(f"    {fact}" for fact in outcome.facts)]


def after_a_save(verdict: Verdict) -> list[str]:
    """Whether what was reported is still so."""
    if verdict.failure or verdict.ended:
        return ["The file does not run:", *(verdict.failure or verdict.where).splitlines()]
    outcome = verdict.outcomes[0]
    if outcome.status.is_wrong:
        return ["What was reported is still so.", "", *_report(outcome)]
    return [
        "What was reported is no longer so. Submit with s to see whether all else is right, too."
    ]


def with_curve(log: Sequence[str]) -> list[str]:
    """A log with its losses drawn below it."""
    return [*log, "", *chart(curve_of(log), height=8)]


def debrief(hunt: Hunt, found: Debrief, handed_in: Verdict) -> list[str]:
    """What became of each bug, and what is broken that was right."""
    count = len(found.findings)
    lines = [f"{found.mended} of {count} bug{'s' * (count > 1)} found and mended.", ""]
    if count > 1:
        lines += [_headline(number, f) for number, f in enumerate(found.findings, 1)] + [""]
    if not handed_in.loads:
        why = handed_in.failure or f"it ended Python itself or found no end ({handed_in.where})"
        lines += [f"The file could not be judged: {why}", ""]
    for number, finding in enumerate(found.findings, 1):
        lines += [*_finding(number, finding), ""]
    if found.broken:
        lines.append("Broken now, and right before:")
        for outcome in found.broken[:5]:
            lines.append(f"    {outcome.sentence}")
            lines += [f"        {fact}" for fact in outcome.facts[:3]]
        if len(found.broken) > 5:
            lines.append(f"    and {len(found.broken) - 5} more")
        lines.append("")
    return lines


def _finding(number: int, finding: Finding) -> list[str]:
    lines = [_headline(number, finding)]
    for place in finding.places:
        # The same text may be left out in one place and stand in another.
        if len(finding.places) > 1:
            lines.append(f"    line {place.line}:")
        lines += _change(place)
    lines += ["", *_set_in(finding.bug.says)]
    if finding.experiment:
        lines += ["", *_set_in(f"Soonest seen so: {finding.experiment}")]
        lines += [f"      {fact}" for fact in finding.showed[:_FACTS]]
    return lines


def _headline(number: int, finding: Finding) -> str:
    return f"{_MARKS[finding.fate]} {number}. Line {finding.line}: {finding.fate}"


def _change(place: Place) -> list[str]:
    """Set in as far as code is that is broken and not reflowed."""
    planted = [f"      - {line}" for line in textwrap.dedent("\n".join(place.was)).splitlines()]
    clean = [f"      + {line}" for line in textwrap.dedent("\n".join(place.clean)).splitlines()]
    return [*planted, *clean]


def _set_in(text: str) -> list[str]:
    return textwrap.wrap(text, 76, initial_indent="    ", subsequent_indent="    ")


def against_the_clean_file(hunt: Hunt, text: str) -> list[str]:
    """A mended file beside the one without bugs, as a unified diff."""
    lines = difflib.unified_diff(
        text.splitlines(), hunt.clean.splitlines(), "yours", "without bugs", lineterm="", n=2
    )
    return [*lines] or ["Yours is the file without bugs, line by line."]
