"""`gpt2 web` in Chromium: what a learner does with it, by mouse and by keyboard alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common.course.catalogue import find, road
from common.judging.collecting import checks_of

pytest.importorskip("starlette", reason="the dependency group web is not installed")
pytest.importorskip("httpx", reason="httpx is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

PROBLEM = find(5)
LONG = 120_000  # milliseconds: other tests may share the machine
SIZES = {"wide": (1280, 900), "phone": (390, 844)}
SMALL_MODEL = "--n-embd 24 --n-layer 2 --n-head 3 --n-positions 32 --stride 32 --batch-size 8"
SMALL_RUN = f"{SMALL_MODEL} --eval-batches 1 --sample-tokens 8 --eval-every 2 --epochs 1"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser, Playwright's own or one that the system has."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    own = os.environ.get("GPT2_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    with playwright.sync_playwright() as driver:
        path = own or driver.chromium.executable_path
        if not Path(path).exists():
            pytest.skip("no Chromium is installed here")
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def server(serve: Callable[..., Any]) -> Any:
    return serve()


@pytest.fixture
def page(chromium: Any, server: Any) -> Iterator[Any]:
    """A page on problem 05. Whatever the browser refuses or a script throws fails the test."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(LONG)
    opened, wrong = context.new_page(), []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda m: wrong.append(m.text) if "Content Security" in m.text else None)
    opened.on("dialog", lambda dialog: wrong.append(dialog.message))
    opened.goto(server.address)
    yield opened
    context.close()
    assert not wrong


def shows(page: Any, text: str, place: str = "verdict") -> None:
    """Wait until an element of that id holds the text."""
    page.wait_for_function(
        "([id, text]) => document.getElementById(id)?.textContent.includes(text)", arg=[place, text]
    )


def file_of(server: Any) -> Path:
    return server.checkout / "problems" / PROBLEM.name / "solution.py"


def test_the_loop_by_keyboard_alone(page, server):
    assert "token" not in page.url
    shows(page, "not written yet: causal_mask")
    file_of(server).write_text(PROBLEM.reference_text.replace(".tril()", ".tril(1)"))
    shows(page, "Your mask lets each token see the one right after it")
    page.keyboard.press("h")
    page.wait_for_selector("#hint-1 details[open]")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    page.keyboard.press("h")
    page.wait_for_selector("#hint-2 details[open]")
    page.reload()
    assert page.locator("#hint-1 details, #hint-2 details").count() == 2
    assert page.locator("#hint-3 details").count() == 0
    shows(page, "Your mask lets")
    page.keyboard.press("a")
    shows(page, "checks pass.")
    page.keyboard.press("d")
    shows(page, "The reference is shown once yours passes", "busy")
    page.keyboard.press("?")
    page.wait_for_selector("#keys[open]")
    page.keyboard.press("n")  # not while a dialog is open
    page.keyboard.press("Escape")
    file_of(server).write_text(PROBLEM.reference_text + "# mine\n")
    shows(page, "Before the next:")
    assert page.title().startswith("✓ 05")
    page.keyboard.press("o")
    page.wait_for_selector("#answer[open]")
    page.keyboard.press("d")
    shows(page, "# mine", "diff-text")
    page.keyboard.press("Escape")
    shows(page, f"1 of {len(road())}", "road")
    page.keyboard.press("n")
    page.wait_for_url("**/problem/06")
    shows(page, "06 Feed-forward")
    page.keyboard.press("l")
    page.wait_for_url(server.base + "/")
    assert f"1 of {len(road())}" in page.inner_text("main")


def test_a_wrong_tensor_is_slid_through(page, server):
    wrong = PROBLEM.reference_text.replace("weights @ v", "weights @ k")
    assert wrong != PROBLEM.reference_text
    file_of(server).write_text(wrong)
    slide = page.locator("#wrong-controls input[type=range]").first
    slide.wait_for()
    title = page.inner_text("#wrong-drawn figcaption")
    slide.focus()
    at = int(slide.input_value())
    page.keyboard.press("ArrowLeft" if at else "ArrowRight")
    page.wait_for_function(
        "before => document.querySelector('#wrong-drawn figcaption').textContent !== before",
        arg=title,
    )
    assert page.evaluate("document.activeElement.type") == "range"
    assert page.inner_text("#wrong-controls output") == str(at - 1 if at else 1)


def test_everything_is_reached_by_tab_and_a_reset_asks_first(page, server):
    shows(page, "not written yet")
    file_of(server).write_text("x = 1\n")
    shows(page, f"0 of {len(checks_of(PROBLEM))}")
    page.keyboard.press("x")
    page.wait_for_selector("#reset[open]")
    assert page.evaluate("document.activeElement.textContent") == "Leave it"
    page.keyboard.press("Enter")
    assert file_of(server).read_text() == "x = 1\n"
    page.keyboard.press("x")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    shows(page, "not written yet: causal_mask")
    assert file_of(server).read_text() == PROBLEM.skeleton
    seen = set()
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    for _ in range(80):
        page.keyboard.press("Tab")
        seen.add(
            page.evaluate("document.activeElement.dataset?.do ?? document.activeElement.tagName")
        )
    assert {"next", "hint", "all", "diff", "check", "reset", "keys", "A"} <= seen


def test_what_a_learner_wrote_is_never_markup(page, server):
    shows(page, "not written yet")
    attack = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    file_of(server).write_text(attack + "\n")
    shows(page, attack)
    raising = f"    raise ValueError({attack!r})\n    return torch.ones"
    file_of(server).write_text(PROBLEM.reference_text.replace("    return torch.ones", raising))
    shows(page, attack)
    assert page.locator("#verdict script, #verdict img").count() == 0


def test_the_server_goes_and_comes_back(page, server, serve):
    shows(page, "not written yet")
    port = server.base.rpartition(":")[2]
    server.process.kill()
    server.process.wait()
    shows(page, "The server is gone", "lost")
    serve("5", "--port", port)
    page.wait_for_selector("#lost", state="hidden")
    file_of(server).write_text(PROBLEM.reference_text)
    shows(page, f"All {len(checks_of(PROBLEM))} checks pass.")


def test_the_browser_closed_and_opened_and_two_pages(page, server):
    shows(page, "not written yet")
    other = page.context.new_page()
    other.goto(server.base + "/problem/05")
    shows(other, "not written yet")
    page.close()
    other.close()
    file_of(server).write_text(PROBLEM.reference_text)
    time.sleep(1)
    third = server.base + "/problem/05"
    opened = other.context.new_page()
    opened.goto(third)
    shows(opened, f"All {len(checks_of(PROBLEM))} checks pass.")


def test_an_interview_to_its_end(page, server):
    problem = find("interview-05")
    page.goto(server.base + "/interview")
    page.click("text=Sampling from a language model")
    page.click("[data-do=begin]")
    page.wait_for_selector("#clock:has-text('left')")
    file = next((server.checkout / "interviews" / problem.name).glob("*/solution.py"))
    file.write_text(problem.reference_text)
    shows(page, "passes")
    page.keyboard.press("h")
    shows(page, "1 of 3 opened", "hints")
    page.goto(server.base + "/")  # closed, and opened again
    page.goto(server.base + "/interview/05")
    shows(page, "passes")
    assert "1 of 3 opened" in page.inner_text("#hints")
    page.keyboard.press("s")
    page.wait_for_selector("#submit[open]")
    page.keyboard.press("Enter")
    page.wait_for_selector(".clock:has-text('10 of 10 points')")
    assert "Why it is correct" in page.inner_text("#task")
    assert page.locator(".beside tr").count() > 20
    page.goto(server.base + "/interview")
    assert "10 of 10 points" in page.inner_text("main")


def test_time_that_is_up_ends_an_attempt_by_itself(page, server):
    page.goto(server.base + "/interview/05")
    page.fill("#minutes", "1")
    page.evaluate("document.getElementById('minutes').step = 'any'")
    page.fill("#minutes", "0.05")
    page.click("[data-do=begin]")
    page.wait_for_selector("text=Time was up after")


def test_a_run_of_the_terminal_is_seen_as_it_goes(page, server, checkout):
    page.goto(server.base + "/train")
    assert "No run yet" in page.inner_text("#training")
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    command = [sys.executable, "-m", "common.cli", "train", *SMALL_RUN.split()]
    with subprocess.Popen(
        command, cwd=checkout, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        page.wait_for_selector("#training polyline.val_loss")
        shows(page, "tokens/s", "training")
        shows(page, "Every effort moves you", "training")
        page.click("[data-do=train]")
        if run.poll() is None:
            shows(page, "a run goes on already", "said")
    shows(page, "finished", "training")


def test_a_run_that_is_begun_on_the_page_is_stopped_there(page, server):
    page.goto(server.base + "/train")
    page.fill("[name=epochs]", "0")
    page.click("[data-do=train]")
    shows(page, "epochs must be from 1 to 1000, not 0", "said")
    page.fill("[name=epochs]", "1")
    page.click("[data-do=train]")
    shows(page, "A run is starting", "training")
    page.click("[data-do=train-stop]")
    shows(page, "The run ended", "training")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_an_accessibility_checker_finds_nothing_serious(chromium, server, scheme, size):
    axe = pytest.importorskip("axe_playwright_python", reason="axe is not installed")
    script = Path(axe.__file__).with_name("axe.min.js")
    width, height = SIZES[size]
    # axe is put into the page by the test, which the page's own policy forbids to everybody.
    context = chromium.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    page.goto(server.address)
    shows(page, "not written yet")
    file_of(server).write_text(PROBLEM.reference_text.replace(".tril()", ".tril(1)"))
    shows(page, "Your mask lets")
    found = []
    for path in ("/problem/05", "/", "/interview", "/interview/05", "/train"):
        page.goto(server.base + path)
        if path == "/problem/05":
            shows(page, "Your mask lets")
            page.wait_for_selector("#verdict:not([aria-busy=true])")
            page.wait_for_timeout(300)
        page.add_script_tag(path=script)
        result = page.evaluate("axe.run()")
        found += [(path, v["id"], v["impact"], v["nodes"][0]["html"]) for v in result["violations"]]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    context.close()
    assert not found
