"""Who may talk to the page: the learner on this machine, from this very page. Everybody else is refused.

Other programs and users of the machine reach the port too, and any page in the learner's browser can send requests
to it. So each request needs the secret that only the printed address holds, a Host header that names this server
(against names that are made to lead here), and where it changes something, an origin that is this page.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LASTS = 24 * 3600  # seconds for which a secret, and the browser's cookie, are good
_TICKET = 60  # seconds in which the browser that was started has to come
_LONGEST = 1 << 16  # bytes of what a page sends
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
NO_KEY = "This page opens by the address that `gpt2 web` printed. Copy it whole, with its token."


@dataclass
class Door:
    """What a request needs to come in.

    Args:
        token: the secret of the printed address, and then of the cookie.
    """

    port: int
    token: str
    tickets: dict[str, float] = field(default_factory=dict)

    @property
    def hosts(self) -> tuple[str, ...]:
        return f"127.0.0.1:{self.port}", f"localhost:{self.port}"

    @property
    def cookie(self) -> str:
        """Its name. Cookies know no ports, so the name holds it."""
        return f"gpt2-{self.port}"

    def address(self, path: str, key: str) -> str:
        """The address that opens the page."""
        return f"http://{self.hosts[0]}{path}?token={key}"

    def ticket(self) -> str:
        """A key that opens once: other users can read the command line of the browser that it is given to."""
        made = secrets.token_urlsafe(32)
        self.tickets[made] = time.monotonic() + _TICKET
        return made

    def opens(self, key: str) -> bool:
        """Whether an address with that key lets in."""
        return self.knows(key) or self.tickets.pop(key, 0.0) > time.monotonic()

    def knows(self, key: str) -> bool:
        """Whether that is the secret."""
        return secrets.compare_digest(key.encode(), self.token.encode())


def secret(file: Path) -> str:
    """The secret of this checkout: kept for a day, so that a page finds its server again after a restart."""
    try:
        about = file.lstat()
        mine = os.name != "posix" or (about.st_uid == os.getuid() and not about.st_mode & 0o077)
        text = file.read_text(encoding="ascii").strip()
        young = 0 <= time.time() - about.st_mtime < _LASTS
        if mine and young and not file.is_symlink() and re.fullmatch(r"[\w-]{43}", text):
            return text
    except (OSError, ValueError):
        pass
    made = secrets.token_urlsafe(32)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(made + "\n")
    except OSError:
        pass  # then it lasts as long as the server
    return made


class Guard:
    """Refuses, before the application sees it, what does not come from the learner's own page."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self.app, self.door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await (self._answer(scope) or self.app)(scope, receive, with_headers)

    def _answer(self, scope: Scope) -> ASGIApp | None:
        """What is said instead; None lets the request in."""
        headers, method = Headers(scope=scope), scope["method"]
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0] not in self.door.hosts:
            return _refused(
                400, f"This server is {self.door.hosts[0]}, and answers to no other name."
            )
        if method not in ("GET", "HEAD", "POST"):
            return _refused(405, "Only GET and POST are understood here.")
        if why := _foreign(headers, method, f"http://{hosts[0]}"):
            return _refused(403, why)
        if method == "POST" and (refused := _unreadable(headers)):
            return refused
        pairs = parse_qsl(scope["query_string"].decode("latin-1"))
        key = next((value for name, value in pairs if name == "token"), None)
        if key is not None and method == "GET":
            return self._let_in(scope, hosts[0], key, pairs)
        return None if self.door.knows(self._kept(headers)) else _refused(403, NO_KEY)

    def _let_in(self, scope: Scope, host: str, key: str, pairs: list[tuple[str, str]]) -> ASGIApp:
        """The key moves from the address into a cookie."""
        if not self.door.opens(key):
            return _refused(403, NO_KEY)
        rest = urlencode([pair for pair in pairs if pair[0] != "token"])
        # Absolute: "//name/" as a path alone would lead to another server.
        place = f"http://{host}{quote(scope['path'])}{'?' * bool(rest)}{rest}"
        answer = RedirectResponse(place, status_code=303)
        answer.set_cookie(
            self.door.cookie, self.door.token, max_age=_LASTS, httponly=True, samesite="strict"
        )
        return answer

    def _kept(self, headers: Headers) -> str:
        """The key in the browser's cookie."""
        try:
            known = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return ""
        return known[self.door.cookie].value if self.door.cookie in known else ""


def _foreign(headers: Headers, method: str, here: str) -> str:
    """Why a request does not come from this page; empty where it does, or where a person typed the address."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    kind = headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")
    if method == "POST":
        if origin != here and (origin is not None or site != "same-origin"):
            return f"Only the page at {here} may change anything here, not {origin or 'an unknown one'}."
        if site not in (None, "same-origin"):
            return "Another page sent this."
    elif origin not in (None, here) or (
        site not in (None, "same-origin", "none") and kind != ("navigate", "document")
    ):
        return "Another page asked for this."
    return ""


def _unreadable(headers: Headers) -> ASGIApp | None:
    """A refusal of what is not a short piece of JSON."""
    length = headers.get("content-length", "")
    if not length.isdigit():
        return _refused(411, "How long is it? Content-Length is missing.")
    if int(length) > _LONGEST:
        return _refused(413, f"{length} bytes are too many: at most {_LONGEST}.")
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return _refused(415, "Only application/json is read here.")
    return None


def _refused(status: int, why: str) -> ASGIApp:
    return PlainTextResponse(f"{why}\n", status)
