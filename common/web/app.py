"""The routes: each asks the hub, and answers with a page, a piece of one, or a stream of changes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from common.course.catalogue import ROOT, Problem, find
from common.errors import CourseError, UnknownProblem
from common.learner import progress, work
from common.learner.progress import State
from common.shell import gpt2
from common.web import interview_pages, markdown, pages, training_pages
from common.web.channel import Channel
from common.web.hub import Hub
from common.web.security import Door, Guard

_STATIC = Path(__file__).parent / "static"
# A picture is shown, never run: what it would load or execute is refused.
_INERT = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}


def application(door: Door, hub: Hub, start: Problem | None = None) -> Starlette:
    """The server's application.

    Args:
        start: the problem whose session is begun at once, before a browser asks for it.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        if start:
            await hub.live(start)
        try:
            yield
        finally:
            await hub.close()

    app = Starlette(
        routes=[
            Route("/", lambda _: HTMLResponse(pages.home())),
            Route("/problem/{key}", problem),
            Route("/problem/{key}/events", problem_events),
            Route("/problem/{key}/picture", picture),
            Route("/problem/{key}/wrong", wrong_picture),
            Route("/problem/{key}/{what}", problem_does, methods=["POST"]),
            Route("/interview", lambda _: HTMLResponse(interview_pages.listed())),
            Route("/interview/{key}", interview),
            Route("/interview/{key}/events", interview_events),
            Route("/interview/{key}/{what}", interview_does, methods=["POST"]),
            Route("/train", train),
            Route("/train/events", train_events),
            Route("/train/{what}", train_does, methods=["POST"]),
            Route("/picture/{name}.svg", drawn),
            Route("/file/{path:path}", file),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ],
        middleware=[Middleware(Guard, door=door)],
        exception_handlers={CourseError: _told, 404: _missing},
        lifespan=lifespan,
    )
    app.state.hub = hub
    return app


# --- problems


async def problem(request: Request) -> Response:
    """A problem's page. What is meant is found as on the command line, and its own address shown."""
    wanted = find(request.path_params["key"])
    if markdown.address(wanted) != request.url.path:
        return Response(status_code=303, headers={"Location": markdown.address(wanted)})
    wanted.__dict__.pop("readme", None)  # read anew
    return HTMLResponse(pages.problem_page(wanted, think=_hub(request).think))


async def problem_events(request: Request) -> Response:
    """The stream of a problem's page."""
    live = await _hub(request).live(_problem(request))
    return _stream(live.channel)


async def picture(request: Request) -> Response:
    """The problem's picture for the controls that the address names."""
    live = await _hub(request).live(_problem(request))
    return HTMLResponse(await live.picture(dict(request.query_params)))


async def wrong_picture(request: Request) -> Response:
    """The slice of the wrong tensor that the address names."""
    live = await _hub(request).live(_problem(request))
    return HTMLResponse(await live.wrong_picture(dict(request.query_params)))


async def problem_does(request: Request) -> Response:
    """What a key or a button of a problem's page does."""
    wanted, what = _problem(request), request.path_params["what"]
    if what == "next":
        following = work.next_unsolved(wanted)
        return JSONResponse({"go": markdown.address(following) if following else "/"})
    if what == "hint":
        work.next_hint(wanted)
        opened = work.open_hints(wanted)
        return JSONResponse({"hints": pages.hints(wanted), "opened": opened})
    if what in ("diff", "explain"):
        if progress.state(wanted, progress.read())[0] == State.PASSES:
            html = pages.diff(wanted) if what == "diff" else pages.explanation(wanted)
            return JSONResponse({"html": html})
        thing = "reference" if what == "diff" else "explanation"
        see = gpt2(f"{what} {wanted.key} --spoil")
        raise CourseError(f"The {thing} is shown once yours passes. To see it anyway: {see}")
    live = await _hub(request).live(wanted)
    if what == "check" or what == "all":
        live.check(by_cause=what == "all")
    elif what == "cause":
        live.tell_the_cause()
    elif what == "reset":
        if wanted.solution.exists():
            work.restart(wanted)
        else:
            work.write_atomically(wanted.solution, wanted.skeleton)
        live.check()
    else:
        raise UnknownProblem(f"nothing here is called {what}")
    return JSONResponse({})


# --- interviews


async def interview(request: Request) -> Response:
    """An interview problem's page."""
    wanted = _interview(request)
    if wanted.key[-2:] != request.path_params["key"]:
        return Response(status_code=303, headers={"Location": markdown.address(wanted)})
    sitting = _hub(request).sitting(wanted)
    fresh = bool(sitting and not sitting.resumed)
    return HTMLResponse(
        interview_pages.page(wanted, sitting.attempt if sitting else None, fresh=fresh)
    )


async def interview_events(request: Request) -> Response:
    """The stream of an attempt's page; no content tells the browser not to come again."""
    sitting = _hub(request).sitting(_interview(request))
    return _stream(sitting.channel) if sitting else Response(status_code=204)


async def interview_does(request: Request) -> Response:
    """What a key or a button of an interview's page does."""
    wanted, what = _interview(request), request.path_params["what"]
    here = {"go": markdown.address(wanted)}
    if what == "begin":
        given = await request.json()
        minutes = _number(given, "minutes", wanted.readme.minutes)
        if not 0 < minutes <= 600:
            raise CourseError(f"minutes must be above 0 and at most 600, not {minutes:g}")
        _hub(request).begin(wanted, minutes)
        return JSONResponse(here)
    sitting = _hub(request).sitting(wanted)
    if not sitting:
        return JSONResponse(here)  # it has ended meanwhile: the page is loaded anew
    if what == "hint":
        sitting.hint()
        return JSONResponse({"html": interview_pages.hints(wanted, sitting.attempt.hints)})
    if what == "check":
        if not sitting.ending:
            sitting.session.check()
    elif what in ("submit", "give-up"):
        sitting.end("submitted" if what == "submit" else "given up")
    else:
        raise UnknownProblem(f"nothing here is called {what}")
    return JSONResponse({})


# --- training


async def train(request: Request) -> Response:
    """The page of the run that was written to last."""
    training = _hub(request).training
    training.show()
    return HTMLResponse(training_pages.page(training.channel.now["put"]["training"]))


async def train_events(request: Request) -> Response:
    """Its stream."""
    training = _hub(request).training
    training.watch()
    return _stream(training.channel)


async def train_does(request: Request) -> Response:
    """Begin a run, go on with one, or stop it."""
    training, what, given = (
        _hub(request).training,
        request.path_params["what"],
        await request.json(),
    )
    if what == "stop":
        training.stop()
    elif what in ("start", "resume"):
        epochs = int(_number(given, "epochs", 10))
        mine = isinstance(given, dict) and given.get("mine") is True
        await training.start(epochs=epochs, mine=mine, resume=what == "resume")
    else:
        raise UnknownProblem(f"nothing here is called {what}")
    return JSONResponse({})


# --- files


async def drawn(request: Request) -> Response:
    """A picture that was drawn lately."""
    svg = _hub(request).painter.svg(request.path_params["name"])
    if svg is None:
        return _missing(request, None)
    return Response(svg, media_type="image/svg+xml", headers=_INERT)


async def file(request: Request) -> Response:
    """A picture of this checkout; no other file, and none that a link leads out to."""
    place = (ROOT / request.path_params["path"]).resolve()
    inside = place.is_relative_to(ROOT) and not any(
        part.startswith(".") for part in place.relative_to(ROOT).parts
    )
    if not inside or place.suffix not in markdown.PICTURES or not place.is_file():
        return _missing(request, None)
    return FileResponse(place, headers=_INERT)


# --- what they share


def _hub(request: Request) -> Hub:
    return request.app.state.hub


def _problem(request: Request) -> Problem:
    wanted = find(request.path_params["key"])
    if wanted.is_interview or wanted.is_hunt:
        raise UnknownProblem(f"{wanted.name} is no problem of the road")
    return wanted


def _interview(request: Request) -> Problem:
    text = request.path_params["key"]
    wanted = find(f"interview-{text}" if text.isdigit() else text)
    if not wanted.is_interview:
        raise UnknownProblem(f"{wanted.name} is no interview problem")
    return wanted


def _number(given: Any, name: str, default: float) -> float:
    value = given.get(name, default) if isinstance(given, dict) else default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CourseError(f"{name} must be a number, not {value!r}")
    return value


def _stream(channel: Channel) -> Response:
    return StreamingResponse(channel.events(), media_type="text/event-stream")


def _told(request: Request, error: Exception) -> Response:
    """A sentence for the learner, as a page or as what a button says."""
    status = 404 if isinstance(error, UnknownProblem) else 409
    if request.method == "POST":
        return JSONResponse({"error": str(error)}, status)
    if request.url.path.endswith("/events"):
        return _stream_of_one(pages.broken(str(error)))
    return HTMLResponse(pages.message("That cannot be shown", str(error)), status)


def _stream_of_one(html: str) -> Response:
    channel = Channel()
    channel.now = {"busy": "", "put": {"verdict": html}}
    return _stream(channel)


def _missing(request: Request, _: Exception | None) -> Response:
    return HTMLResponse(pages.message("Not here", "This server has no such page."), 404)
