"""report.html: one file, no outside resource, every string of a student's escaped, no text in its script."""

from __future__ import annotations

from html import escape
from typing import Any

Report = dict[str, Any]

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #5b6470; --line: #d8dde3; --back: #ffffff;
  --band: #f5f7f9; --full: #1a7f4b; --part: #9a6700; --none: #b42318; --bar: #3b6fb6; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #9aa4b0; --line: #363d46;
  --back: #15191e; --band: #1d2228; --full: #5fd39a; --part: #e3b341; --none: #ff8b80; --bar: #79a8e8; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back);
  max-width: 1200px; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
.head { color: var(--soft); margin: 0; padding-left: 1.1rem; }
.figures { display: flex; gap: 2.5rem; flex-wrap: wrap; margin: 1.2rem 0 0; padding: 0; }
.figures div { display: flex; flex-direction: column; } .figures b { font-size: 1.35rem; }
.figures span { color: var(--soft); }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; max-width: 22rem; overflow: hidden; text-overflow: ellipsis; }
tr:last-child td { border-bottom: 0; } thead th { background: var(--band); position: sticky; top: 0; }
th button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0; padding: 0;
  cursor: pointer; }
th button::after { content: " \\2195"; color: var(--soft); }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
td.full { color: var(--full); } td.part { color: var(--part); } td.none { color: var(--none); }
td.missing { color: var(--soft); } td.text, th.text { text-align: left; white-space: normal; }
td.flag { color: var(--none); }
a { color: inherit; } tbody tr:hover { background: var(--band); }
details.student { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0;
  padding: 0 .9rem; }
details.student > summary { padding: .55rem 0; cursor: pointer; display: flex; gap: 1rem; }
summary b { flex: 1; overflow-wrap: anywhere; } h3 { font-size: 1rem; margin: 1rem 0 .3rem; }
pre { background: var(--band); padding: .7rem .9rem; border-radius: 4px; overflow-x: auto; margin: .4rem 0;
  font: 13px/1.45 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
p.flag { color: var(--none); margin: .3rem 0; overflow-wrap: anywhere; }
svg text { fill: var(--soft); font-size: 11px; }
svg rect { fill: var(--bar); } svg line { stroke: var(--line); }
#find { font: inherit; padding: .3rem .6rem; width: 18rem;
  max-width: 100%; border: 1px solid var(--line); border-radius: 4px; background: var(--back);
  color: inherit; margin-bottom: .6rem; }
"""

# Works on what is in the page; no text of a student's is ever put into it as markup.
_SCRIPT = """
"use strict";
const table = document.getElementById("class"), body = table.tBodies[0];
for (const [column, button] of [...table.querySelectorAll("th button")].entries()) {
  button.addEventListener("click", () => {
    const head = button.parentElement, down = head.getAttribute("aria-sort") === "descending" ||
      (column === 0 && !head.hasAttribute("aria-sort"));
    for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "ascending" : "descending");
    const value = row => row.cells[column].dataset.value;
    const rows = [...body.rows].sort((a, b) => column === 0
      ? value(a).localeCompare(value(b)) : Number(value(a)) - Number(value(b)));
    body.append(...(down ? rows : rows.reverse()));
  });
}
const open = () => {
  const place = location.hash && document.getElementById(location.hash.slice(1));
  if (place && place.tagName === "DETAILS") { place.open = true; place.scrollIntoView(); }
};
addEventListener("hashchange", open); open();
document.getElementById("find").addEventListener("input", event => {
  const wanted = event.target.value.toLowerCase();
  for (const row of body.rows) row.hidden = !row.cells[0].dataset.value.toLowerCase().includes(wanted);
});
"""


def report_html(report: Report) -> str:
    """The class on one page."""
    students = report["students"]
    sums = sorted(s["points"] for s in students)
    middle = (
        sums[len(sums) // 2]
        if len(sums) % 2
        else (sums[len(sums) // 2 - 1] + sums[len(sums) // 2]) / 2
    )
    flagged = sum(bool(s["flags"] or s["notes"]) for s in students)
    figures = [
        (f"{len(students)}", "students"), (f"{sum(sums) / len(sums):.2f}", f"mean, of {report['of']:g}"),
        (f"{middle:.2f}", "median"), (f"{flagged}", "to look at"),
    ]  # fmt: skip
    parts = [
        "<!doctype html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">",
        "<title>Grades</title>", f"<style>{_STYLE}</style>", "</head>", "<body>", "<h1>Grades</h1>",
        '<ul class="head">', *(f"<li>{escape(line)}</li>" for line in report["head"]), "</ul>",
        '<div class="figures">', *(f"<div><b>{a}</b><span>{escape(b)}</span></div>" for a, b in figures), "</div>",
        "<h2>Distribution</h2>", _distribution(sums, report["of"]),
        *_similar(report), "<h2>Students</h2>",
        '<input id="find" type="search" placeholder="Find a student" aria-label="Find a student">',
        _table(report), "<h2>What most students miss</h2>", _missed(report),
        "<h2>By student</h2>", *(_student(report, n, s) for n, s in enumerate(students)),
        f"<script>{_SCRIPT}</script>", "</body>", "</html>", "",
    ]  # fmt: skip
    return "\n".join(parts)


def _distribution(sums: list[float], of: float) -> str:
    bins = [0] * 20
    for points in sums:
        bins[min(int(20 * points / of), 19) if of else 0] += 1
    most, width, height = max(bins), 34, 120
    out = [f'<svg viewBox="0 0 {20 * width + 20} {height + 40}" width="100%" style="max-width:700px" role="img"'
           f' aria-label="How many students have how many points">']  # fmt: skip
    for i, count in enumerate(bins):
        tall = height * count / most if most else 0
        x, y = 10 + i * width, 20 + height - tall
        out.append(
            f'<rect x="{x + 2}" y="{y:.1f}" width="{width - 4}" height="{tall:.1f}"><title>{count}</title></rect>'
        )
        if count:
            out.append(
                f'<text x="{x + width / 2}" y="{y - 4:.1f}" text-anchor="middle">{count}</text>'
            )
    out.append(f'<line x1="10" x2="{20 * width + 10}" y1="{height + 20}" y2="{height + 20}"/>')
    for i in range(0, 21, 4):
        out.append(
            f'<text x="{10 + i * width}" y="{height + 35}" text-anchor="middle">{of * i / 20:g}</text>'
        )
    return "".join([*out, "</svg>"])


def _table(report: Report) -> str:
    heads = ["Student", *(p["key"] for p in report["problems"]), "Points", "Look at"]
    rows = [
        "".join(f'<th scope="col"><button type="button">{escape(h)}</button></th>' for h in heads)
    ]
    rows[0] = f"<thead><tr>{rows[0]}</tr></thead><tbody>"
    for number, student in enumerate(report["students"]):
        name = escape(student["name"], quote=True)
        cells = [f'<td data-value="{name}" title="{name}"><a href="#s{number}">{name}</a></td>']
        for problem in report["problems"]:
            own = student["problems"][problem["key"]]
            kind = "full" if own["points"] == own["of"] else "part" if own["points"] else "none"
            kind = kind if own["state"] == "graded" else "missing"
            shown = f"{own['points']:.2f}" if own["state"] == "graded" else "–"
            cells.append(f'<td class="{kind}" data-value="{own["points"]}">{shown}</td>')
        cells.append(f'<td data-value="{student["points"]}"><b>{student["points"]:.2f}</b></td>')
        flags = len(student["flags"]) + len(student["notes"])
        cells.append(f'<td class="flag" data-value="{flags}">{flags or ""}</td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f'<div class="wide"><table id="class">{"".join(rows)}</tbody></table></div>'


def _missed(report: Report) -> str:
    if not report["missed"]:
        return "<p>Nothing: every check that ran was passed.</p>"
    rows = [
        f'<tr><td>{escape(each["problem"])}</td><td class="text">{escape(each["cause"])}</td>'
        f'<td>{each["students"]} of {each["of"]}</td><td class="text">{escape(each["shows"])}</td></tr>'
        for each in report["missed"]
    ]
    head = '<tr><th>Problem</th><th class="text">Cause</th><th>Students</th><th class="text">Shows first in</th></tr>'
    return f'<div class="wide"><table><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'


def _similar(report: Report) -> list[str]:
    if not report["similar"]:
        return []
    items = [
        f"<li>{escape(each['one'])} and {escape(each['other'])}: {each['share']:.0%} of the shorter one, in "
        f"{escape(', '.join(each['problems']))}</li>"
        for each in report["similar"]
    ]
    return [
        "<h2>Look at these two</h2>",
        "<p>More alike than the problem makes them; reference and skeleton are left out. It proves nothing.</p>",
        f"<ul>{''.join(items)}</ul>",
    ]


def _student(report: Report, number: int, student: dict[str, Any]) -> str:
    out = [f'<details class="student" id="s{number}"><summary><b>{escape(student["name"])}</b>'
           f'<span>{student["points"]:.2f} of {report["of"]:.2f}</span></summary>']  # fmt: skip
    said = ([student["late"]] if student["late"] else []) + student["notes"]
    out += [f'<p class="flag">{escape(note)}</p>' for note in said]
    for problem in report["problems"]:
        own = student["problems"][problem["key"]]
        title = f"{problem['key']} {problem['title']}: {own['points']:.2f} of {own['of']:.2f}"
        out.append(f"<h3>{escape(title)}</h3>")
        out += [f'<p class="flag">{escape(flag)}</p>' for flag in own["flags"]]
        out += [_requirement(each) for each in own["requirements"] if each["points"] < each["of"]]
        out.append(f"<pre>{escape(chr(10).join(own['lines']))}</pre>")
    return "".join([*out, "</details>"])


def _requirement(each: dict[str, Any]) -> str:
    why = f"fails: {'; '.join(each['missed'])}"
    if each["waits"]:
        why = f"counts once this is earned: {'; '.join(each['waits'])}"
    return (
        f"<p>{each['points']:.2f} of {each['of']:.2f}: {escape(each['title'])} ({escape(why)})</p>"
    )
