"""A problem's README as HTML: its hints closed until they are opened, its links turned to pages of this server."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from common.course.catalogue import ROOT, Problem, problems
from common.course.readme import Folded

_FOLDED = re.compile(
    r"<details>\s*<summary>(?P<title>[^<]*)</summary>\s*(?P<text>.*?)\s*</details>", re.S
)
_PICTURE = re.compile(r"<picture>.*?</picture>|<img\s[^>]*>", re.S)
PICTURES = (".svg", ".png", ".jpg", ".jpeg", ".gif", ".webp")


@dataclass(frozen=True)
class Part:
    """A stretch of a README: text, or something that is folded away.

    Args:
        hint: the number of the hint that it is, from 1; 0 where it is none.
    """

    html: Markup
    title: str = ""
    folded: bool = False
    hint: int = 0


def parts(problem: Problem, open_hints: int) -> list[Part]:
    """The README in the order of its text; a hint that is not open yet has no text.

    Args:
        open_hints: how many have been opened.
    """
    text, made, at, hints = problem.readme.text, [], 0, 0
    for found in _FOLDED.finditer(text):
        made.append(Part(render(text[at : found.start()], problem)))
        at = found.end()
        title = inline(found["title"].strip())
        if found["title"].strip().startswith("Hint"):
            hints += 1
            html = render(found["text"], problem) if hints <= open_hints else Markup("")
            made.append(Part(html, title, True, hints))
        else:
            made.append(Part(render(found["text"], problem), title, True))
    made.append(Part(render(text[at:], problem)))
    return made


def folded(each: Folded, problem: Problem) -> Part:
    """A hint or an answer as HTML."""
    return Part(render(each.text, problem), inline(each.title), True)


def render(text: str, problem: Problem) -> Markup:
    """Markdown as HTML. HTML in it is shown as text, pictures aside."""
    pieces, at = [], 0
    for found in _PICTURE.finditer(text):
        pieces += [_html(text[at : found.start()], problem), _picture(found[0], problem)]
        at = found.end()
    return Markup("".join([*pieces, _html(text[at:], problem)]))


def inline(text: str) -> Markup:
    """One line of Markdown: code and emphasis."""
    return Markup(_parser().renderInline(text))


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("table_open", lambda *_: '<div class="table" tabindex="0"><table>\n')
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    parser.add_render_rule("fence", _fence)
    parser.add_render_rule("code_block", _fence)
    return parser


def _fence(_: Any, tokens: Sequence[Token], at: int, *__: Any) -> str:
    # What scrolls has to be reached by keyboard, too.
    return f'<pre tabindex="0"><code>{escape(tokens[at].content)}</code></pre>\n'


def _html(text: str, problem: Problem) -> str:
    parser = _parser()
    tokens = parser.parse(text)
    for token in [child for t in tokens for child in (t, *(t.children or ()))]:
        if token.type == "link_open":
            _turn(token, "href", problem)
        elif token.type == "image":
            token.attrs["src"] = _source(str(token.attrs["src"]), problem)
    return parser.renderer.render(tokens, parser.options, {})


def _turn(token: Token, name: str, problem: Problem) -> None:
    """A link inside the checkout leads to that problem's page, one to elsewhere opens beside this page."""
    target = str(token.attrs[name])
    if urlsplit(target).scheme:
        token.attrs |= {"rel": "noreferrer noopener", "target": "_blank"}
        return
    place = (problem.folder / urlsplit(target).path).resolve()
    other = next((p for p in problems() if place in (p.folder, p.readme_file, p.solution)), None)
    if other and not target.startswith("#"):
        token.attrs[name] = address(other)


def address(problem: Problem) -> str:
    """Where a problem's page is."""
    kind, number = (
        ("interview", problem.key[-2:]) if problem.is_interview else ("problem", problem.key)
    )
    return f"/{kind}/{number}"


def _source(target: str, problem: Problem) -> str:
    """Where a picture of a README is fetched from: from this checkout, or not at all."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        return ""
    place = (problem.folder / parts.path).resolve()
    if place.suffix not in PICTURES or not place.is_relative_to(ROOT):
        return ""
    return f"/file/{quote(place.relative_to(ROOT).as_posix())}"


def _picture(text: str, problem: Problem) -> str:
    """A picture in two colours: only what it is made of, each attribute escaped."""
    reader = _Tags()
    reader.feed(text)
    made = []
    for tag, given in reader.tags:
        if tag == "source":
            source = escape(_source(given.get("srcset", ""), problem))
            media = escape(given.get("media", ""))
            made.append(f'<source media="{media}" srcset="{source}">')
        elif tag == "img":
            source = escape(_source(given.get("src", ""), problem))
            made.append(f'<img src="{source}" alt="{escape(given.get("alt", ""))}">')
    return f"<p><picture>{''.join(made)}</picture></p>"


class _Tags(HTMLParser):
    """The tags of a piece of HTML with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
