"""`gpt2 web` without a browser: what its pages hold and are told."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from common.course.catalogue import find, road
from common.judging.collecting import checks_of

pytest.importorskip("starlette", reason="the dependency group web is not installed")
pytest.importorskip("uvicorn", reason="the dependency group web is not installed")
pytest.importorskip("markdown_it", reason="the dependency group web is not installed")
pytest.importorskip("httpx", reason="httpx is not installed")


from common.web import markdown
from common.web.curves import curves

PROBLEM = find(5)
PORT, TOKEN = 8017, "t" * 43
HERE = f"http://127.0.0.1:{PORT}"
JSON = {"Content-Type": "application/json", "Origin": HERE}


# --- what is on a page


def test_a_readme_is_whole_but_for_its_closed_hints():
    closed, opened = (markdown.parts(PROBLEM, n) for n in (0, 2))
    assert [bool(p.html) for p in closed if p.hint] == [False, False, False]
    assert [bool(p.html) for p in opened if p.hint] == [True, True, False]
    text = "".join(p.html for p in opened)
    assert '<pre tabindex="0"><code>            key 0' in text
    assert "masked_fill" in text
    assert "<details" not in text
    assert len([p for p in opened if p.folded and not p.hint]) == 2


def test_html_in_a_readme_is_text_but_pictures_are_shown_in_two_colours():
    picture = (
        '<picture><source media="(prefers-color-scheme: dark)" srcset="d.svg">'
        '<img src="l.svg" alt="a &quot;mask&quot;" onerror="alert(1)"></picture>'
    )
    html = markdown.render(f"<script>alert(1)</script>\n\n{picture}\n\n![x](y.png)", PROBLEM)
    assert "<script" not in html
    assert "onerror" not in html
    assert f'srcset="/file/problems/{PROBLEM.name}/d.svg"' in html
    assert 'alt="a &quot;mask&quot;"' in html
    assert f'src="/file/problems/{PROBLEM.name}/y.png"' in html
    assert 'src=""' in markdown.render("![x](http://evil.example/y.png)", PROBLEM)
    assert (
        "javascript"
        not in markdown.render("[x](javascript:alert(1))", PROBLEM).partition("href")[2]
    )


def test_a_link_to_another_problem_leads_to_its_page():
    html = markdown.render(
        "[04](../04-multi-head-attention/README.md) [w](https://w.example)", PROBLEM
    )
    assert 'href="/problem/04"' in html
    assert 'rel="noreferrer noopener"' in html


def test_curves_leave_out_what_is_no_number():
    records = [
        {"step": n, "train_loss": loss, "val_loss": 4.0}
        for n, loss in ((1, 5.0), (2, float("nan")), (3, 3.0))
    ]
    drawn = curves(records)
    assert "nan" not in drawn
    assert drawn.count("<polyline") == 2
    assert curves([{"step": 1, "train_loss": float("nan"), "val_loss": float("inf")}]) == ""
    assert curves([]) == ""


# --- the server


def test_from_the_skeleton_to_a_pass_in_the_terminals_words(serve, checkout, gpt2, listen):
    server = serve()
    client, file = server.client(), checkout / "problems" / PROBLEM.name / "solution.py"
    right = PROBLEM.reference_text
    page = listen(client, "/problem/05/events")
    page.until("not written yet: causal_mask")
    begin = "    return torch.ones"
    for written, said in {
        "<script>alert(1)</script>\n": "&lt;script&gt;alert(1)&lt;/script&gt;",
        right.replace(
            ".tril()", ".tril(1)"
        ): "Your mask lets each token see the one right after it",
        right.replace(begin, f"    while True: pass\n{begin}"): "likely an endless loop",
        right.replace(begin, f"    import os; os._exit(3)\n{begin}"): "ended Python itself",
        right.replace("-torch.inf", "torch.nan"): "nan",
        right.replace(
            begin, f"    print('<b>', 'x\\n' * 1_000_000)\n{begin}"
        ): f"All {len(checks_of(PROBLEM))} checks pass.",
    }.items():
        file.write_text(written)
        html = page.until(said)
        assert "<script" not in html
        assert "<b>" not in html
        assert len(html) < 100_000
    assert "Before the next:" in page.now["put"]["verdict"]
    assert "your code printed, much of it; the end:" in page.now["put"]["verdict"]
    page.until(f"<strong>1 of {len(road())}</strong> pass", "road")
    assert page.now["title"].startswith("✓ 05")
    assert server.post(client, "/problem/05/diff").json()["html"].count("removed") >= 1
    assert server.post(client, "/problem/05/next").json() == {"go": "/problem/06"}
    file.unlink()
    page.until("there is no such file")
    server.post(client, "/problem/05/reset")
    page.until("not written yet: causal_mask")
    page.close()


def test_hints_are_those_of_the_command_line(serve, gpt2):
    server = serve()
    client = server.client()
    gpt2("hint", "5")
    page = client.get("/problem/05").text
    assert "Follow one row of the table" in page
    assert "keeps the lower triangle" not in page
    answer = server.post(client, "/problem/05/hint").json()
    assert answer["opened"] == 2
    assert "keeps the lower triangle" in answer["hints"][1]["html"]
    assert "keeps the lower triangle" in gpt2("hint", "5", "--again").stdout
    assert server.post(client, "/problem/05/diff").json()["error"].startswith("The reference is")
    assert server.post(client, "/problem/05/nothing").status_code == 404


def test_two_pages_hear_the_same_and_one_that_is_left_lends_its_session(serve, checkout, listen):
    server = serve()
    client, file = server.client(), checkout / "problems" / PROBLEM.name / "solution.py"
    one, two = listen(client, "/problem/05/events"), listen(client, "/problem/05/events")
    one.until("not written yet")
    file.write_text(PROBLEM.reference_text)
    assert one.until(f"All {len(checks_of(PROBLEM))}") == two.until(
        f"All {len(checks_of(PROBLEM))}"
    )
    one.close()
    two.close()
    later = listen(client, "/problem/06/events")
    later.until("06 Feed-forward")
    assert "checking" in str(later.news) or later.now["busy"] == ""
    assert not any("PyTorch" in str(change.get("busy")) for change in later.news[1:])
    others = [listen(client, f"/problem/{n}/events") for n in ("07", "08")]
    full = listen(client, "/problem/09/events")
    assert "close one of these pages" in full.until("open already")
    for each in (later, *others, full):
        each.close()


def test_think_holds_the_cause_back_until_it_is_asked_for(serve, checkout, listen):
    server = serve("5", "--port", "0", "--think")
    client, file = server.client(), checkout / "problems" / PROBLEM.name / "solution.py"
    page = listen(client, "/problem/05/events")
    file.write_text(PROBLEM.reference_text.replace(".tril()", ".tril(1)"))
    assert "Your mask lets" not in page.until("What would give this?")
    server.post(client, "/problem/05/cause")
    page.until("Your mask lets")
    page.close()


def test_pictures_come_after_the_verdict_and_never_delay_it(serve, checkout, listen):
    server = serve()
    client, file = server.client(), checkout / "problems" / PROBLEM.name / "solution.py"
    assert 'name="sentence" value="the dog' in client.get("/problem/05").text
    page = listen(client, "/problem/05/events")
    file.write_text(PROBLEM.reference_text.replace(".tril()", ".tril(1)"))
    page.until("Your mask lets")
    page.until("expected, yours, and the difference", "wrong")
    html = client.get("/problem/05/picture?sentence=<b>dogs</b>+bite").text
    assert "No token sees a later one" in html
    svg = client.get(html.partition('src="')[2].partition('"')[0])
    assert svg.headers["content-type"].startswith("image/svg+xml")
    assert "sandbox" in svg.headers["content-security-policy"]
    assert "dogs" in svg.text
    assert "<b>" not in svg.text
    assert "no control &#39;speed&#39;" in client.get("/problem/05/picture?speed=9").text
    loops = PROBLEM.reference_text.replace("    # lesson: about 1 line", "    while True: pass")
    file.write_text(loops)
    with client.stream("GET", "/problem/05/picture"):
        file.write_text(PROBLEM.reference_text)
        page.until(f"All {len(checks_of(PROBLEM))} checks pass.")
    page.close()


def test_a_port_in_use(checkout, gpt2, serve, listen):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = gpt2("web", "--no-open", "--port", port)
        assert done.returncode == 1
        assert f"port {port} of 127.0.0.1 cannot be used" in done.stderr
    assert gpt2("web", "--port", "99999").returncode == 2
    assert gpt2("web", "99").returncode == 2
    first, second = serve("5", "--no-open"), serve("5", "--no-open")
    assert first.base != second.base


def test_ctrl_c_ends_it_and_its_children_at_once(serve, listen):
    server = serve()
    client = server.client()
    page = listen(client, "/problem/05/events")
    page.until("not written yet")
    children = _children(server.process.pid)
    assert children
    began = time.monotonic()
    assert server.end() == 0
    assert time.monotonic() - began < 10
    assert not _left(children)
    assert "Traceback" not in "".join(server.said)


@pytest.mark.parametrize(
    "after", [0.3, 1.5, 4]
)  # seconds: the process that draws loads, begins, computes
def test_ctrl_c_while_it_draws_ends_in_silence(serve, checkout: Path, after: float):
    text, line = PROBLEM.reference_text, "    return torch.ones"
    endless = text.replace(line, f"    while True: pass\n{line}")
    (checkout / "problems" / PROBLEM.name / "solution.py").write_text(endless)
    server = serve("5", "--port", "0", "--limit", "20")
    client = server.client()
    drawing = threading.Thread(target=client.get, args=("/problem/05/picture",), daemon=True)
    drawing.start()
    drawing.join(after)
    assert drawing.is_alive(), "the picture runs the learner's code, which does not end"
    children = _children(server.process.pid)
    began = time.monotonic()
    assert server.end() == 0
    drawing.join(10)
    assert time.monotonic() - began < 10
    assert not drawing.is_alive()
    assert not _left(children)
    server.close()
    assert "Traceback" not in "".join(server.said)


def test_without_the_group_a_sentence_says_how_to_get_it(checkout):
    code = (
        "import sys, importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n == 'starlette' else find(n, *a)\n"
        "from common.cli import main; sys.exit(main(['web']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "needs the package starlette: run `uv sync --group web` once" in done.stderr


def _children(pid: int) -> list[int]:
    """Its processes, and theirs."""
    if not Path("/proc").is_dir():
        pytest.skip("there is no /proc to find children in")
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            parents[int(path.parent.name)] = int(fields[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def _left(pids: list[int]) -> list[int]:
    """Those that do not end within some seconds."""
    end = time.monotonic() + 20
    while any(map(_alive, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    return [pid for pid in pids if _alive(pid)]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
