"""The sandboxed side: a base process with torch loaded, a zygote for each problem, a child for each file.

Requests come in on stdin and answers go out on stdout, a JSON object a line. First the set-up, then files:

    {"problems": ["05-causal-masking", ...], "limits": {...}, "empty": true}    -> {"ready": true, "layers": [...]}
    {"id": 1, "problem": "05-causal-masking", "name": "05-...", "source": "..."} -> {"id": 1, "outcomes": [...], ...}

A zygote has collected its problem's checks and run them once; it knows no later problem. It holds the
list of checks that are expected and the key with which its child signs.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import torch

from common import catalogue, light_torch
from common.catalogue import ROOT, find
from common.errors import CourseError
from common.grading import sandbox
from common.grading.zygote import Zygote


def _first_operations() -> None:
    torch.set_num_threads(1)  # a child of a process that computed with two threads cannot use two
    light_torch.install()
    weight = torch.nn.Parameter(torch.randn(8, 8))
    (torch.randn(8, 8) @ weight).softmax(-1).sum().backward()
    torch.optim.Adam([weight]).step()
    torch.optim.AdamW([weight]).step()


def _empty(folder: Path) -> None:
    for each in folder.iterdir():
        shutil.rmtree(each) if each.is_dir() else each.unlink()


def main() -> None:
    """Set up as the first line says, then serve until stdin closes."""
    sandbox.die_with_parent()
    sandbox.close_memory()
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _first_operations()
    catalogue.problems()
    setup = json.loads(sys.stdin.readline())
    limits = sandbox.Limits(**setup["limits"])
    links: dict[str, Any] = {}

    def say(message: dict[str, Any]) -> None:
        out.write(json.dumps(message).encode() + b"\n")
        out.flush()

    for name in setup["problems"]:
        ours, theirs = socket.socketpair()
        if os.fork() == 0:
            ours.close()
            out.close()
            os.close(0)
            for other in links.values():
                other.close()
            sandbox.die_with_parent()
            sandbox.adopt_orphans()
            try:
                zygote = Zygote(find(name), limits, theirs)
            except CourseError as error:
                theirs.sendall(json.dumps({"broken": str(error)}).encode() + b"\n")
                os._exit(1)
            theirs.sendall(b'{"ready": true}\n')
            zygote.serve()
        theirs.close()
        links[name] = ours.makefile("rwb")
        answer = json.loads(
            links[name].readline() or '{"broken": "its checks could not be loaded"}'
        )
        if "broken" in answer:
            say({"broken": f"{name}: {answer['broken']}"})
            return
    if setup["empty"]:
        _empty(ROOT / "problems")
        _empty(ROOT / "solutions")
    say({"ready": True})
    while line := sys.stdin.readline():
        request = json.loads(line)
        link = links[request["problem"]]
        try:
            link.write(line.encode())
            link.flush()
            answer = link.readline()
        except OSError:
            answer = b""
        if not answer:
            say({"id": request["id"], "lost": True})
            return
        out.write(answer)
        out.flush()


if __name__ == "__main__":
    main()
