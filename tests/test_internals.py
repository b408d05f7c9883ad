"""What is used of other packages' private parts: when one of these fails, a new version has changed something."""

from __future__ import annotations

import subprocess
import sys

import pytest

from common.course.catalogue import ROOT


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


FIRST = "import sys, torch\nfrom common import internals\ninternals.put_off_the_compiler()\n"
STEP = (
    "p = torch.nn.Parameter(torch.ones(3))\np.sum().backward()\n"
    "for kind in (torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD):\n    kind([p], lr=1e-3).step()\n"
)


def test_an_optimizer_does_not_import_the_compiler():
    assert run(FIRST + STEP + "print('sympy' in sys.modules)").strip() == "False"


def test_the_compiler_is_there_for_whoever_asks_for_it():
    code = FIRST + STEP + "print(torch._dynamo.is_compiling(), torch.compiler.is_compiling())\n"
    code += "print(torch.compile(lambda x: x + 1, backend='eager')(torch.ones(1)).item())"
    assert run(code).split() == ["False", "False", "2.0"]


def test_a_part_of_the_compiler_can_be_imported():
    code = (
        FIRST + STEP + "from torch._dynamo import config\nimport torch._dynamo.utils\nprint(True)"
    )
    assert run(code).strip() == "True"
    assert run(FIRST + "import torch._dynamo.utils\nprint(True)").strip() == "True"


def test_whoever_walks_over_all_modules_does_not_wake_it():
    code = (
        FIRST
        + "for m in list(sys.modules.values()): getattr(m, '__file__', None)\nprint('sympy' in sys.modules)"
    )
    assert run(code).strip() == "False"


def test_pytest_gives_what_a_check_is_made_from(pytester_like):
    items = pytester_like
    assert [item.name for item in items] == ["test_one[a]", "test_one[b]"]
    assert [item.callspec.params for item in items] == [{"case": "a"}, {"case": "b"}]
    assert "solution" in items[0].fixturenames


@pytest.fixture
def pytester_like(tmp_path):
    """What pytest collects from a small file."""
    (tmp_path / "test_small.py").write_text(
        "import pytest\n@pytest.mark.parametrize('case', ['a', 'b'])\ndef test_one(solution, case): pass\n"
    )
    found: list[pytest.Function] = []

    class Collector:
        def pytest_collection_finish(self, session: pytest.Session) -> None:
            found.extend(item for item in session.items if isinstance(item, pytest.Function))

    options = [
        "--collect-only",
        "-q",
        "-p",
        "no:gpt2",
        "--noconftest",
        f"--rootdir={tmp_path}",
        str(tmp_path),
    ]
    pytest.main(options, plugins=[Collector()])
    return found
