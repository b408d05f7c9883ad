"""What comes from a student's process is a value, or it is the end of it: nothing malformed gets through."""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.course.catalogue import find
from common.grading.exchange.judge import Judge
from common.grading.exchange.values import Reader, Unknown, Writer
from common.grading.exchange.wire import Over, Wire

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="grading needs Linux")


@contextmanager
def judge_who_hears(*messages: bytes) -> Generator[Judge]:
    """A judge to whom these bytes are sent, whatever it asks."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for message in messages:
            theirs.sendall(message)
        theirs.shutdown(socket.SHUT_WR)
        yield Judge(Wire(ours), find(5))


def message(head: Any, body: bytes = b"") -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("<II", len(text), len(body)) + text + body


ANSWER = {
    "slots": [],
    "modes": [],
    "events": [],
    "changed": [],
    "contents": [],
    "structure": [],
    "printed": "",
    "grad": True,
}
MALFORMED: list[Any] = [
    b"{", [], 3, "ask", {}, {"value": 1}, {"ask": "call"}, {"ask": {}}, {"ask": "call", "args": 1, "grad": True, "slots": [], "modes": []},  # noqa: E501
    *({**ANSWER, key: value} for key in ANSWER if key not in ("printed", "grad") for value in ([[]], [1], 3, [[1, 2]], None)),  # noqa: E501
    *({**ANSWER, "value": value} for value in (
        ["x"], ["x", "float32", [2], None, 0, 0], ["x", "float32", [-1], None, 0, 0], ["x", "complex64", [1], None, 0, 0],  # noqa: E501
        ["x", "float32", [1 << 40], None, 0, 0], ["x", "float32", [0] * 20, None, 0, 0], ["x", "float32", [1.5], None, 0, 0],  # noqa: E501
        ["o"], ["o", 2], ["o", 1], ["o", "1"], ["o", 4, {"kind": "module"}], ["o", 1, {"kind": "object", "class": 3}],
        ["o", 1, {"kind": "class"}], ["o", True, {"kind": "iterator"}], ["p", 1], ["p", 2, True], ["p", "x", False],
        ["nonsense", 1], ["d", 1], ["d", [[], 1]], ["s", ["l"]], ["b", 3], ["b", "\u1234"], ["dtype", "int99"], ["device", "nowhere"],  # noqa: E501
        ["int", "zz"], ["range", 1, 2, 0], {"a": 1}, ["array", ["x", "bfloat16", [0], None, 0, 0]], [["l"]], [[]], [None],  # noqa: E501
    )),
    *({**ANSWER, "value": ["l"], "same": same} for same in ([], "1", True, 1.5, {})),
    *({**ANSWER, "error": error} for error in ({}, 3, {"mine": 7}, {"kind": 1, "name": 2, "args": 3, "unicode": 4, "frames": 5},  # noqa: E501
      {"kind": "ValueError", "name": "x", "args": [{}], "unicode": None, "frames": [], "number": 1})),
]  # fmt: skip


@pytest.mark.parametrize("head", MALFORMED, ids=lambda h: str(h)[:90])
def test_a_malformed_answer_ends_the_exchange(head: Any):
    with judge_who_hears(message(head)) as judge, pytest.raises(Over):
        judge.ask("attribute", "x")


def test_messages_that_are_too_long_are_not_waited_for():
    with (
        judge_who_hears(struct.pack("<II", 1 << 30, 0)) as judge,
        pytest.raises(Over, match="at most"),
    ):
        judge.ask("attribute", "x")
    with judge_who_hears(message(b"[" * 100_000)) as judge, pytest.raises(Over):
        judge.ask("attribute", "x")


@settings(max_examples=150, deadline=None)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["x", "o", "p", "l", "t", "d", "float32", "class", "module"]),  # noqa: E501
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(["kind", "tree", "name", "value", "ask"]), inner, max_size=4),  # noqa: E501
    max_leaves=12,
))  # fmt: skip
def test_whatever_comes_is_a_value_or_the_end(node: Any):
    with judge_who_hears(message({**ANSWER, "value": node})) as judge, suppress(Over):
        judge.ask("attribute", "x")


def test_over_is_nothing_that_a_check_could_swallow():
    assert not issubclass(Over, Exception)


def test_what_no_message_can_hold_is_said():
    writer = Writer(lambda w, value: (_ for _ in ()).throw(Unknown(type(value).__name__)))
    with pytest.raises(Unknown):
        writer.value(object())
    reader = Reader(memoryview(b""), lambda r, node: None, lambda r, t: t)
    assert reader.value(writer.value([1, "x"])) == [1, "x"]
