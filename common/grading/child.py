"""The process that runs one problem of one student: rights given up, checks run, each outcome signed."""

from __future__ import annotations

import faulthandler
import hashlib
import io
import json
import os
import random
import resource
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from common import loading
from common.checks import Check
from common.grading import audit, sandbox, syscalls, wire
from common.grading.watching import Watch
from common.results import Outcome, Status

TOLD = 40  # things tried that are named; more are not


class Tail(io.TextIOBase):
    """Takes endless printing and keeps its end."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text = (self.text + str(text)[-2000:])[-2000:]
        return len(text)

    def writable(self) -> bool:
        return True


def signer(pipe: int, key: bytes) -> Callable[[Any], None]:
    """What sends a message that the other end takes for the child's own.

    The key is only inside a hash object, which does not give it out; json's C encoder and the bound
    functions are taken here, so that nothing done to modules later has a say.
    """
    state = hashlib.blake2b(key=key, digest_size=16)
    encode = getattr(json.encoder, "c_make_encoder")(  # noqa: B009 (unknown to type checkers)
        None, _no_default, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, False
    )
    write, count = os.write, [0]

    def send(message: Any) -> None:
        count[0] += 1
        body = "".join(encode([count[0], message], 0)).encode("ascii")
        mac = state.copy()
        mac.update(body)
        data = body + b" " + mac.hexdigest().encode("ascii") + b"\n"
        while data:
            data = data[write(pipe, data) :]

    return send


def _no_default(value: object) -> None:
    raise TypeError(type(value).__name__)


def verified(line: bytes, key: bytes, expected: int) -> Any:
    """The message of a signed line, None if it is not the one expected next."""
    body, _, mac = line.rpartition(b" ")
    own = hashlib.blake2b(body, key=key, digest_size=16).hexdigest().encode("ascii")
    if own != mac.strip():
        return None
    number, message = json.loads(body)
    return message if number == expected else None


def enter(limits: sandbox.Limits, workplace: Path, trace: int, *, lower: bool) -> list[str]:
    """Give up what can be given up; names of the layers that hold."""
    layers = []
    faulthandler.register(signal.SIGXCPU, file=trace, all_threads=False, chain=False)
    sandbox.limit(limits)
    if lower:
        os.chown(workplace, sandbox.NOBODY, sandbox.NOBODY)
        sandbox.lower()
        layers.append("account")
    sandbox.die_with_parent()
    os.chdir(workplace)
    os.environ.clear()
    os.environ.update(HOME=str(workplace), TMPDIR=str(workplace))
    tempfile.tempdir = str(workplace)
    if syscalls.install():
        layers.append("system calls")
    elif os.geteuid() != 0:
        sandbox.limit_processes(limits.threads)
    return layers


def work(
    request: dict[str, Any],
    checks: tuple[Check, ...],
    watch: Watch,
    tampered: list[str],
    asked: list[str],
    send: Callable[[Any], None],
    setting: tuple[sandbox.Limits, Path, int, bool],
) -> None:
    """Run all checks on the student's source and send what comes of each. Does not return.

    Args:
        tampered: gets a line where an assertion found something changed.
        asked: gets a line where the facade was asked for too much.
    """
    limits, workplace, trace, lower = setting
    leave, full, run = os._exit, watch.full, type(checks[0]).run
    get_dtype, set_dtype = torch.get_default_dtype, torch.set_default_dtype
    grad_on, set_grad = torch.is_grad_enabled, torch._C._set_grad_enabled
    told = [0]

    def tell(what: str) -> None:
        told[0] += 1
        if told[0] <= TOLD:
            send({"tried": what})

    try:
        random.seed(0)
        send({"layers": enter(limits, workplace, trace, lower=lower)})
        audit.install(workplace, tell)
        printed = Tail()
        sys.stdout = sys.stderr = printed
        failure, module = "", ModuleType("nothing")
        path = Path(request["name"]) / "solution.py"
        try:
            module = loading.execute(request["source"], path)
        except (loading.LoadFailure, NotImplementedError) as error:
            failure = str(error) or "not written yet"
        except BaseException as error:
            failure = f"{path}: {type(error).__name__}: {error}"
        if get_dtype() != torch.float32:
            tell("changes torch's default dtype; it was put back")
            set_dtype(torch.float32)
        if not grad_on():
            tell("switches gradients off; they were put back")
            set_grad(True)
        changed = full()
        for what in asked[:TOLD]:
            tell(what)
        asked.clear()
        if changed:
            send({"tampered": changed})
        send({"loaded": not failure, "failure": failure[:2000], "printed": printed.text})
        for check in checks if not failure else ():
            printed.text = ""
            tampered.clear()
            try:
                outcome = run(check, module)
            except (
                BaseException
            ) as error:  # not even an Exception: a name of its own, KeyboardInterrupt
                kind = type(error).__name__
                outcome = Outcome(check.name, Status.ERROR, (f"{kind} was raised",), str(kind))
            changed = (tampered and tampered[0]) or full()
            for what in asked[:TOLD]:
                tell(what)
            asked.clear()
            if changed:
                send({"tampered": changed})
                outcome = Outcome(
                    check.name, Status.ERROR, (f"not counted: {changed}",), "tampered"
                )
            data = wire.outcome_data(outcome)
            data["printed"] = printed.text
            send({"outcome": data})
        if changed := watch.last():
            send({"tampered": changed})
        cpu = resource.getrusage(resource.RUSAGE_SELF)
        send({"end": round(cpu.ru_utime + cpu.ru_stime, 3)})
    finally:
        leave(0)
