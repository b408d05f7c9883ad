"""Errors a user can meet: one sentence, no traceback, an exit code."""

from __future__ import annotations


class CourseError(Exception):
    """Something the user can mend. The message is the whole report."""

    exit_code = 1


class UsageError(CourseError):
    """The command was called in a way that cannot be carried out."""

    exit_code = 2


class UnknownProblem(UsageError):
    """No problem folder answers to that name."""
