"""One HTML file that holds everything it shows: the inside of a model, to be sent to somebody."""

from __future__ import annotations

import json
from base64 import b64encode
from html import escape

from common.pictures import inside as views
from common.pictures.inside import Inside
from common.pictures.picture import Picture
from common.text.visible import visible

_STYLE = """
:root{color-scheme:light dark;--ink:#1f2328;--back:#fff;--quiet:#59636e;--cell:9,105,218}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--back:#0d1117;--quiet:#9198a1;--cell:88,166,255}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);max-width:56rem;margin:2rem auto;
padding:0 1rem}img{width:100%}h1{font-size:1.4rem}h2{font-size:1.1rem}p,label{color:var(--quiet)}
table{border-collapse:collapse;font-size:12px;margin-top:1rem}td{width:2rem;height:1.6rem}th{font-weight:400;
text-align:right;padding:0 .4rem;white-space:nowrap}thead th{writing-mode:vertical-rl;padding:.4rem 0}
.wide{overflow-x:auto}
"""
# Texts are set as text, never as markup; the cells say their number to who points at them or hears them.
_SCRIPT = """
const data = JSON.parse(document.getElementById("data").textContent);
const [layer, head, table] = ["layer", "head", "weights"].map(id => document.getElementById(id));
function fill(list, count) { for (let i = 0; i < count; i++) list.add(new Option(i, i)); list.onchange = draw; }
function cell(row, kind, text) {
  const made = row.appendChild(document.createElement(kind));
  made.textContent = text;
  return made;
}
function draw() {
  const weights = data.attention[layer.value][head.value];
  table.replaceChildren();
  const top = table.createTHead().insertRow();
  cell(top, "th", "");
  data.words.forEach(word => cell(top, "th", word));
  const body = table.createTBody();
  weights.forEach((row, i) => {
    const line = body.insertRow();
    cell(line, "th", data.words[i]);
    row.forEach((w, j) => {
      const c = cell(line, "td", "");
      c.style.background = `rgba(var(--cell), ${w / 100})`;
      c.title = `${data.words[i]} takes ${w} % from ${data.words[j]}`;
    });
  });
}
fill(layer, data.attention.length); fill(head, data.attention[0].length); draw();
"""


def page(inside: Inside, title: str) -> str:
    """The page, which asks nothing of any network."""
    shown = [views.next_token, views.by_layer, views.neighbours, views.removed]
    percent = (100 * inside.attention).round().int().tolist()
    data = json.dumps({"words": [visible(w) for w in inside.words], "attention": percent})
    body = "".join(map(_section, (view(inside) for view in shown)))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{_told(title)}</title><style>{_STYLE}</style><h1>{_told(title)}</h1>"
        f"<p>Read: “{_told(' '.join(inside.words))}” (a dot is a space)</p><h2>Attention</h2>"
        '<label>Layer <select id="layer"></select></label> <label>Head <select id="head"></select></label>'
        "<p>A row for each token that asks, a column for each that is asked; the stronger the colour, the more it "
        f'takes.</p><div class="wide"><table id="weights"></table></div>{body}'
        f'<script type="application/json" id="data">{data.replace("<", chr(92) + "u003c")}</script>'
        f"<script>{_SCRIPT}</script></html>\n"
    )


def _section(picture: Picture) -> str:
    image = b64encode(picture.svg("auto").encode()).decode()
    return (
        f"<h2>{_told(picture.title)}</h2><p>{_told(picture.note)}</p>"
        f'<img alt="{_told(picture.alt)}" src="data:image/svg+xml;base64,{image}">'
    )


def _told(text: str) -> str:
    return escape(visible(text))
