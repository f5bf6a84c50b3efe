// Keeps the page up to date: the server says what has changed, and the parts that show it are fetched again.
// While somebody zooms or edits (pause), or the page is not looked at, what has changed is only remembered.

const FIRST_WAIT = 500;
const LONGEST_WAIT = 5000;
const LEAST_PAUSE = 250; // between two fetches of one part, milliseconds

const connection = document.getElementById("connection");
const listeners = [];
const pending = new Map(); // kind → subjects
let everything = false;
let pauses = 0;
let seen = document.body.dataset.live;
let wait = FIRST_WAIT;

// Calls back with [{kind, subject}, …] when something of these kinds has changed, and with null when anything may have.
export function onEvent(kinds, callback) {
  listeners.push({ kinds, callback });
}

// Nothing is refreshed until the function that this returns is called.
export function pause() {
  pauses += 1;
  let over = false;
  return () => {
    if (over) return;
    over = true;
    pauses -= 1;
    flush();
  };
}

function isPaused() {
  return pauses > 0 || document.hidden;
}

function remember(message) {
  if (message.all) everything = true;
  for (const [kind, subject] of message.events ?? []) {
    if (!pending.has(kind)) pending.set(kind, new Set());
    pending.get(kind).add(subject);
  }
  flush();
}

function flush() {
  if (isPaused()) {
    if (pauses > 0 && (everything || pending.size)) say("Paused; there is news");
    return;
  }
  if (!everything && !pending.size) return;
  const news = everything ? null : [...pending].flatMap(([kind, all]) => [...all].map((subject) => ({ kind, subject })));
  everything = false;
  pending.clear();
  say("");
  for (const part of document.querySelectorAll("[data-live][data-src]")) {
    const kinds = part.dataset.live.split(" ");
    const about = part.dataset.subject;
    const concerns = ({ kind, subject }) =>
      kinds.includes(kind) && (!about || subject === about || !["run", "epoch", "images"].includes(kind));
    if (!news || news.some(concerns)) refresh(part);
  }
  for (const { kinds, callback } of listeners) {
    const own = news?.filter(({ kind }) => kinds.includes(kind));
    if (!news || own.length) callback(news ? own : null);
  }
}

async function refresh(part) {
  if (part.dataset.fetching) {
    part.dataset.again = "yes";
    return;
  }
  part.dataset.fetching = "yes";
  try {
    const answer = await fetch(part.dataset.src, { cache: "no-store" });
    if (!answer.ok) throw new Error(`${part.dataset.src}: ${answer.status}`);
    const text = await answer.text();
    if (isPaused()) everything = true;
    else replace(part, text);
  } catch {
    everything = true; // looked at again with the next news, or when the server is back
  }
  setTimeout(() => {
    delete part.dataset.fetching;
    if (!part.dataset.again) return;
    delete part.dataset.again;
    refresh(part);
  }, LEAST_PAUSE);
}

// Keeps what the reader does: the focus, ticks, texts that are being written, and how far tables are scrolled.
function replace(part, text) {
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  const written = focused?.matches("input:not([type=checkbox])") ? focused.value : null;
  const ticked = new Set([...part.querySelectorAll("input[type=checkbox]:checked")].map((box) => box.id));
  const scrolled = [...part.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
  const fresh = new DOMParser().parseFromString(text, "text/html").body;
  part.replaceChildren(...fresh.childNodes);
  for (const box of part.querySelectorAll("input[type=checkbox]")) if (ticked.has(box.id)) box.checked = true;
  part.querySelectorAll(".scroll").forEach((box, at) => (box.scrollLeft = scrolled[at] ?? 0));
  if (focused) {
    const same = (focused.id && document.getElementById(focused.id)) || sameLink(part, focused);
    if (same && written !== null) same.value = written;
    same?.focus({ preventScroll: true });
  }
}

function sameLink(part, focused) {
  const address = focused.getAttribute("href");
  return address && [...part.querySelectorAll("a")].find((link) => link.getAttribute("href") === address);
}

function say(text, lost = false) {
  connection.textContent = text;
  connection.classList.toggle("lost", lost);
}

function connect() {
  const address = new URL("/lab/live", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  address.searchParams.set("seen", seen);
  const socket = new WebSocket(address);
  socket.addEventListener("message", ({ data }) => {
    const message = JSON.parse(data);
    wait = FIRST_WAIT;
    if (message.database === false) return say("The database is away", true);
    say("");
    if (message.cursor) seen = message.cursor;
    remember(message);
  });
  socket.addEventListener("close", () => {
    say("Not connected; trying again", true);
    setTimeout(connect, wait * (0.5 + Math.random() / 2)); // not all pages at once
    wait = Math.min(2 * wait, LONGEST_WAIT);
  });
}

document.addEventListener("visibilitychange", flush);
if (seen !== undefined) connect();
