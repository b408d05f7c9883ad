"""Words in a submission that no solution needs, and that lead behind Python's back or the grader's."""

from __future__ import annotations

import re

_WORDS = (
    "__builtins__", "__closure__", "__code__", "__globals__", "__subclasses__", "__torch_dispatch__",
    "__torch_function__", "_current_frames", "_getframe", "addaudithook", "ag_frame", "as_strided",
    "cell_contents", "co_code", "cr_frame", "ctypes", "cffi", "currentframe", "f_back", "f_globals", "f_locals",
    "get_objects", "get_referents", "get_referrers", "gi_frame", "mmap", "setprofile",
    "settrace", "stride_tricks", "tb_frame", "tb_next", "TorchDispatchMode", "TorchFunctionMode",
)  # fmt: skip
_PATTERN = re.compile(
    r"(?<![A-Za-z0-9_])(" + "|".join(map(re.escape, _WORDS)) + r")(?![A-Za-z0-9_])"
)


def doubtful(source: str) -> list[str]:
    """The words, each once: reason enough to hold the points back until a person has looked."""
    return sorted(set(_PATTERN.findall(source)))
