// What a page does by itself: it listens to the server, hands keys and buttons on, and says when the server is gone.
// The server decides what is shown; pieces of HTML come from its templates, which escape what a learner wrote.
"use strict";

const page = document.body.dataset;
const byId = (id) => document.getElementById(id);
let source = null;
let spoken = 0;

// --- what the server says

function apply(change) {
  for (const [id, html] of Object.entries(change.put ?? {})) {
    const place = byId(id);
    if (!place) continue;
    const open = [...place.querySelectorAll("details[open] > summary")].map((s) => s.textContent);
    place.innerHTML = html;
    for (const summary of place.querySelectorAll("details > summary"))
      if (open.includes(summary.textContent)) summary.parentElement.open = true;
  }
  if (change.busy !== undefined) {
    if (byId("busy")) byId("busy").textContent = change.busy;
    byId("verdict")?.setAttribute("aria-busy", String(change.busy !== ""));
  }
  if (change.title) document.title = change.title;
  if (change.ending !== undefined) {
    for (const button of document.querySelectorAll(".actions [data-do]")) button.disabled = change.ending;
    if (change.ending) stopClock();
  }
  if (change.drawn) draw("picture");
  if (change.go) location.assign(change.go);
}

function listen() {
  if (!page.events || source || document.hidden) return;
  source = new EventSource(page.events);
  source.onopen = () => { byId("lost").hidden = true; };
  source.onmessage = (event) => apply(JSON.parse(event.data));
  source.onerror = () => {
    const closed = source.readyState === EventSource.CLOSED;
    if (closed) hangUp();
    if (closed && page.left !== undefined) location.reload(); // the attempt has ended meanwhile
    else lost(closed);
  };
}

function lost(refused) {
  // A page that is being left loses its stream too; that is not worth a word.
  const now = ++spoken;
  setTimeout(async () => {
    if (now !== spoken || (source && source.readyState === EventSource.OPEN)) return;
    byId("lost").textContent = refused
      ? "The server does not know this page any more. Open the address that gpt2 web printed."
      : "The server is gone. Start gpt2 web again; this page comes back by itself.";
    byId("lost").hidden = false;
    if (refused) setTimeout(listen, 2000);
  }, 700);
}

function hangUp() {
  source?.close();
  source = null;
}

// A browser keeps only a few connections to one server: pages that nobody sees hold none.
document.addEventListener("visibilitychange", () => (document.hidden ? hangUp() : listen()));
addEventListener("pagehide", () => { spoken++; hangUp(); });
addEventListener("pageshow", listen);

// --- what is asked of the server

async function ask(path, what = {}) {
  let answer;
  try {
    const reply = await fetch(path, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(what),
    });
    const json = reply.headers.get("content-type")?.startsWith("application/json");
    answer = json ? await reply.json() : { error: await reply.text() };
  } catch {
    answer = { error: "The server is gone. Start gpt2 web again." };
  }
  if (answer.error) say(answer.error);
  if (answer.go) location.assign(answer.go);
  return answer;
}

function say(text) {
  const place = byId("said") ?? byId("busy");
  if (place) place.textContent = text;
}

const here = (what, given) => ask(`${page.here}/${what}`, given);

// --- pictures, which come after the verdict

const pictures = {
  picture: { controls: "controls", place: "drawn" },
  wrong: { controls: "wrong-controls", place: "wrong-drawn" },
};

async function draw(what) {
  if (page.page !== "problem" || !byId("pictures").dataset.pictures) return;
  const one = pictures[what];
  one.drawing?.abort();
  const mine = (one.drawing = new AbortController());
  const chosen = new URLSearchParams(new FormData(byId(one.controls)));
  try {
    const reply = await fetch(`${page.here}/${what}?${chosen}`, { signal: mine.signal });
    if (reply.ok && mine === one.drawing) byId(one.place).innerHTML = await reply.text();
  } catch { /* another one was asked for, or the server is gone, which is said elsewhere */ }
}

document.addEventListener("input", (event) => {
  const what = Object.keys(pictures).find((w) => event.target.form?.id === pictures[w].controls);
  if (!what) return;
  const told = event.target.parentElement.querySelector("output");
  if (told) told.value = event.target.value;
  clearTimeout(pictures[what].waiting);
  pictures[what].waiting = setTimeout(() => draw(what), 250);
});

// --- the clock of an interview

let clock = 0;

function startClock() {
  if (page.left === undefined || !byId("clock")) return;
  const end = performance.now() + 1000 * Number(page.left);
  const tick = () => {
    const left = Math.max(0, Math.round((end - performance.now()) / 1000));
    byId("clock").textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")} left`;
    byId("clock").classList.toggle("soon", left <= 120);
  };
  tick();
  clock = setInterval(tick, 1000);
}

function stopClock() { clearInterval(clock); }

// --- what keys and buttons do

function toHint(opened) {
  const place = byId(`hint-${opened}`);
  place?.scrollIntoView({ block: "center" });
  place?.querySelector("summary")?.focus();
}

function go(id) {
  byId(id)?.scrollIntoView({ block: "start" });
  byId(id)?.focus({ preventScroll: true });
}

function training() {
  const form = new FormData(byId("train-form"));
  say("");
  return { epochs: Number(form.get("epochs")), mine: form.has("mine") };
}

const actions = {
  keys: () => byId("keys").showModal(),
  close: (button) => button.closest("dialog").close(),
  reload: () => location.reload(),
  list: () => location.assign(page.page === "interview" ? "/interview" : "/"),
  task: () => go("task"),
  verdict: () => go("verdict-place"),
  next: () => here("next"),
  check: () => here("check"),
  all: () => here("all"),
  cause: () => here("cause"),
  hint: async () => {
    const { hints, opened } = await here("hint");
    for (const { id, html } of hints ?? []) if (byId(id)) byId(id).innerHTML = html;
    if (opened) toHint(opened);
  },
  answer: () => {
    const answer = byId("answer");
    if (!answer) return;
    answer.open = true;
    answer.querySelector("summary").focus();
  },
  diff: () => toRead("diff"),
  explain: () => toRead("explain"),
  reset: () => byId("reset").showModal(),
  "reset!": () => { byId("reset").close(); here("reset"); },
  begin: async (button) => {
    const minutes = Number(button?.dataset.minutes ?? byId("minutes").value);
    if ((await here("begin", { minutes })).go) location.reload();
  },
  submit: () => byId("submit").showModal(),
  "submit!": () => { byId("submit").close(); here("submit"); },
  "give-up": () => byId("give-up").showModal(),
  "give-up!": () => { byId("give-up").close(); here("give-up"); },
  "interview-hint": async () => {
    const { html } = await here("hint");
    if (html !== undefined) byId("hints").innerHTML = html;
  },
  train: () => here("start", training()),
  "train-resume": () => here("resume", training()),
  "train-stop": () => here("stop"),
};

async function toRead(what) {
  const { html } = await here(what);
  if (html === undefined) return;
  byId(`${what}-text`).innerHTML = html;
  byId(what).showModal();
}

const keys = {
  problem: {
    n: "next", h: "hint", t: "task", v: "verdict", a: "all", c: "cause", o: "answer", d: "diff", e: "explain",
    r: "check", x: "reset",
  },
  interview: page.left === undefined ? {} : {
    s: "submit", h: "interview-hint", e: "check", q: "give-up", t: "task",
  },
}[page.page] ?? {};

const wanted = byId("single-keys");
wanted.checked = localStorage.getItem("single-keys") !== "no";
wanted.addEventListener("change", () => localStorage.setItem("single-keys", wanted.checked ? "yes" : "no"));

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest?.("input, select, textarea, [contenteditable]")) return;
  if (!wanted.checked || document.querySelector("dialog[open]")) return;
  const what = event.key === "?" ? "keys" : event.key === "l" ? "list" : keys[event.key];
  if (!what) return;
  event.preventDefault();
  actions[what]();
});

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-do]");
  if (button) actions[button.dataset.do](button);
});

byId("train-form")?.addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("submit", (event) => {
  if (event.target.classList.contains("controls")) event.preventDefault();
});

startClock();
listen();
