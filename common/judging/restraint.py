"""The report for who wants to think first: what went wrong now, the cause later."""

from __future__ import annotations

from common.judging.records import Verdict
from common.judging.report import WIDTH, holds_back, report, wrapped


class Restraint:
    """Holds the cause back, if that is wanted, until it is asked for or one failure was seen twice in a row."""

    def __init__(self, wanted: bool) -> None:
        self.wanted, self.lifted = wanted, False
        self.seen: tuple[object, ...] = ()

    def lines(self, verdict: Verdict, width: int = WIDTH) -> list[str]:
        """The report, with the cause or without."""
        if not self.holds(verdict):
            return report(verdict, width=width)
        held = "What would give this? Save it again as it is, or press c where there are keys, to read the cause."
        return [*report(verdict, width=width, cause=False), *wrapped(held, width)]

    def holds(self, verdict: Verdict) -> bool:
        """Whether the cause is held back now."""
        shown = self.lifted or verdict.groups  # whoever asks for all failures asks for their causes
        return self.wanted and not shown and holds_back(verdict)

    def look(self, verdict: Verdict) -> None:
        """Take note of a new verdict."""
        now = tuple((o.name, o.facts) for o in verdict.wrong)
        self.lifted, self.seen = now == self.seen, now
