"""`gpt2 web`: who comes in, and what each attack gets."""

from __future__ import annotations

import os
import stat

import pytest

from common.course.catalogue import find

pytest.importorskip("starlette", reason="the dependency group web is not installed")
pytest.importorskip("uvicorn", reason="the dependency group web is not installed")
pytest.importorskip("markdown_it", reason="the dependency group web is not installed")
pytest.importorskip("httpx", reason="httpx is not installed")

from starlette.testclient import TestClient

from common.web.app import application
from common.web.hub import Hub
from common.web.security import Door, secret

PROBLEM = find(5)
PORT, TOKEN = 8017, "t" * 43
HERE = f"http://127.0.0.1:{PORT}"
JSON = {"Content-Type": "application/json", "Origin": HERE}


@pytest.fixture
def door() -> Door:
    return Door(PORT, TOKEN)


@pytest.fixture
def visitor(door: Door) -> TestClient:
    """Somebody without a key."""
    return TestClient(
        application(door, Hub(2.0, think=False)), base_url=HERE, follow_redirects=False
    )


@pytest.fixture
def learner(visitor: TestClient) -> TestClient:
    """Who has opened the printed address."""
    answer = visitor.get(f"/problem/05?token={TOKEN}&x=1")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{HERE}/problem/05?x=1"
    return visitor


# --- who comes in


def test_the_printed_address_opens_and_the_token_leaves_it_for_a_cookie(visitor):
    cookie = visitor.get(f"/?token={TOKEN}").headers["set-cookie"].lower()
    assert {"httponly", "samesite=strict", "path=/"} <= {x.strip() for x in cookie.split(";")}
    assert visitor.get("/").status_code == 200
    assert visitor.get("/", headers={"Host": f"localhost:{PORT}"}).status_code == 200


def test_a_ticket_opens_once(door, visitor):
    ticket = door.ticket()
    assert visitor.get(f"/?token={ticket}").status_code == 303
    visitor.cookies.clear()
    assert visitor.get(f"/?token={ticket}").status_code == 403


SITE = "Sec-Fetch-Site"
IMAGE = {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
ATTACKS = {
    "another Host": ("GET", "/", {"Host": f"evil.example:{PORT}"}, 400),
    "another port as Host": ("GET", "/", {"Host": "127.0.0.1:9999"}, 400),
    "a Host that only begins right": ("GET", "/", {"Host": f"127.0.0.1:{PORT}.evil.example"}, 400),
    "the token with another Host": ("GET", f"/?token={TOKEN}", {"Host": "evil.example"}, 400),
    "a post of another origin": (
        "POST",
        "/problem/05/hint",
        {"Origin": "http://evil.example"},
        403,
    ),
    "a post of another local port": (
        "POST",
        "/problem/05/hint",
        {"Origin": "http://127.0.0.1:9999"},
        403,
    ),
    "a post of a file or sandbox": ("POST", "/problem/05/hint", {"Origin": "null"}, 403),
    "a post without an origin": ("POST", "/problem/05/hint", {"Origin": None}, 403),
    "a post that another site sent": ("POST", "/problem/05/hint", {SITE: "cross-site"}, 403),
    "a form": (
        "POST",
        "/problem/05/hint",
        {"Content-Type": "application/x-www-form-urlencoded"},
        415,
    ),
    "a plain text form": ("POST", "/problem/05/hint", {"Content-Type": "text/plain"}, 415),
    "a large post": ("POST", "/problem/05/hint", {"Content-Length": "99999999"}, 413),
    "a post of unknown length": ("POST", "/problem/05/hint", {"Content-Length": None}, 411),
    "another site's fetch": ("GET", "/", {SITE: "cross-site", "Sec-Fetch-Mode": "cors"}, 403),
    "another local port's image": ("GET", "/static/icon.svg", {SITE: "same-site", **IMAGE}, 403),
    "a frame": (
        "GET",
        "/",
        {SITE: "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
        403,
    ),
    "a read with a foreign origin": ("GET", "/", {"Origin": "http://evil.example"}, 403),
    "a method that is not known": ("DELETE", "/problem/05", {}, 405),
    "a preflight": (
        "OPTIONS",
        "/problem/05/hint",
        {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"},
        405,
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_with_the_cookie_an_attack_is_still_refused(learner, attack):
    method, path, changed, status = ATTACKS[attack]
    headers = {**(JSON if method == "POST" else {}), **changed}
    request = learner.build_request(
        method,
        path,
        headers={k: v for k, v in headers.items() if v},
        content=b"{}"[: method == "POST" and 2],
    )
    for name in (name for name, value in headers.items() if value is None):
        request.headers.pop(name, None)
    answer = learner.send(request)
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/problem/05",
        "/problem/05/events",
        "/interview",
        "/train",
        "/static/page.js",
        "/nothing",
    ],
)
def test_without_the_token_nothing_is_shown(visitor, path):
    for key in ("", "?token=", "?token=wrong", f"?token={TOKEN[:-1]}", "?token=%C3%A9"):
        answer = visitor.get(path + key)
        assert answer.status_code == 403
        assert "address" in answer.text
        assert TOKEN not in answer.text
    visitor.cookies.set("gpt2-8017", "wrong")
    assert visitor.get(path).status_code == 403
    assert visitor.post("/problem/05/hint", headers=JSON, content=b"{}").status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/file/..%2f..%2fetc/passwd",
        "/file/%2fetc%2fpasswd",
        "/file/README.md",
        "/file/.git/config",
        "/file/.gpt2/web-key",
        "/file/problems/05-causal-masking/solution.py",
        "/problem/..%2f..%2fetc%2fpasswd",
        "/problem/%00",
        "/picture/..%2f..%2fx.svg",
        "/picture/0123456789abcdef.svg",
    ],
)
def test_no_path_leads_out(learner, path):
    answer = learner.get(path)
    assert answer.status_code == 404
    assert "root:" not in answer.text
    assert "import" not in answer.text


def test_a_link_that_leads_out_of_the_checkout_is_not_followed(learner, tmp_path, monkeypatch):
    from common.web import app

    (tmp_path / "in").mkdir()
    (tmp_path / "out.svg").write_text("<svg/>")
    (tmp_path / "in" / "x.svg").symlink_to(tmp_path / "out.svg")
    (tmp_path / "in" / "y.svg").write_text("<svg><script>alert(1)</script></svg>")
    monkeypatch.setattr(app, "ROOT", tmp_path / "in")
    assert learner.get("/file/x.svg").status_code == 404
    inside = learner.get("/file/y.svg")
    assert inside.status_code == 200
    assert "sandbox" in inside.headers["content-security-policy"]
    assert "script-src" not in inside.headers["content-security-policy"]


def test_a_redirect_stays_here(visitor):
    assert visitor.get(f"//evil.example/?token={TOKEN}").headers["location"].startswith(f"{HERE}/")


def test_every_answer_forbids_what_a_page_does_not_need(learner, visitor):
    for path in ("/", "/problem/05", "/nothing", "/static/page.js"):
        headers = learner.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_pages_name_no_other_server(learner):
    for path in ("/", "/problem/01", "/interview", "/interview/01", "/train", "/static/page.css"):
        text = learner.get(path).text
        assert 'src="http' not in text
        assert "url(" not in text
        assert "@import" not in text


def test_the_secret_is_for_its_owner_alone_and_lasts_a_day(tmp_path):
    file = tmp_path / ".gpt2" / "web-key"
    first = secret(file)
    assert len(first) == 43
    assert secret(file) == first
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        file.chmod(0o644)  # others may have read it
        second = secret(file)
        assert second != first
    os.utime(file, (0, 0))
    assert secret(file) not in (first, TOKEN)


def test_an_unknown_problem_is_named_and_a_number_is_enough(learner):
    assert learner.get("/problem/99").status_code == 404
    assert "there is no problem 99" in learner.get("/problem/99").text
    assert learner.get("/problem/5").headers["location"] == "/problem/05"
    assert learner.get("/interview/99").status_code == 404
