// A judge's page: shows pairs, takes one vote on each by keyboard, mouse or touch, and locks it.
import { order, Refusal } from "./order.js";

const LARGEST = 16; // times
const CHOICES = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "tie" };

const part = (id) => document.getElementById(id);
const page = part("vote");
const frames = [...page.querySelectorAll(".frame")];
const choices = [...page.querySelectorAll("button[data-choice]")];
const address = `/lab/api/ab/${encodeURIComponent(page.dataset.test)}`;
const memory = `blind-test-${page.dataset.test}`;

let secret = localStorage.getItem(memory);
let token = null; // of the pair that is open for a vote; null while none is
let canUndo = false;
let busy = false;
let factor = null; // of enlargement; null fits the window

function only(id) {
  for (const name of ["join", "ballot", "finished", "ended"]) part(name).hidden = name !== id;
  part("controls").hidden = id !== "ballot" && id !== "finished";
  for (const button of choices) button.hidden = id !== "ballot";
}

function lock(locked) {
  busy = locked;
  for (const button of choices) button.setAttribute("aria-disabled", String(locked));
  part("undo").setAttribute("aria-disabled", String(locked || !canUndo));
}

// One order at a time: a second key or click while it is under way is no second vote.
async function during(work) {
  if (busy) return;
  lock(true);
  part("trouble").textContent = "";
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    await explain(error);
  } finally {
    lock(false);
  }
}

async function explain(refusal) {
  if (refusal.status === 410) {
    token = null;
    only("ended");
    return;
  }
  if (refusal.status === 403) {
    // This browser's judge is not known, or the name is taken.
    token = null;
    only("join");
    part("judge").focus();
  } else if (refusal.status === 409) {
    await show(await order(`${address}/pair`, { secret }));
  }
  part("trouble").textContent = refusal.message;
}

async function show(told) {
  token = null;
  canUndo = told.can_undo;
  part("progress").max = told.planned;
  part("progress").value = told.done;
  if (told.pair === null) {
    part("count").textContent = `${told.done} of ${told.planned}`;
    only("finished");
    return;
  }
  // Both are there before either is shown: how long one takes says nothing.
  const images = [told.pair.left, told.pair.right].map((source) => Object.assign(new Image(), { src: source }));
  try {
    await Promise.all(images.map((image) => image.decode()));
  } catch {
    throw new Refusal(0, "The images did not arrive. Load this page again; no vote is lost.");
  }
  images.forEach((image, side) => {
    image.alt = ["The left image", "The right image"][side];
    image.id = ["left", "right"][side];
    frames[side].replaceChildren(image);
  });
  part("prompt").textContent = told.pair.prompt;
  part("count").textContent = `Pair ${told.done + 1} of ${told.planned}`;
  only("ballot");
  resize();
  token = told.pair.token;
}

function vote(choice) {
  if (token === null) return;
  during(async () => show(await order(`${address}/vote`, { secret, token, choice })));
}

function undo() {
  if (secret === null || !canUndo) return;
  during(async () => show(await order(`${address}/undo`, { secret })));
}

// Whole factors of the screen's own pixels, so that every pixel of an image is as large as the others.
function resize() {
  for (const frame of frames) {
    const image = frame.querySelector("img");
    if (!image?.naturalWidth) continue;
    const dense = window.devicePixelRatio || 1;
    const room = Math.min(frame.clientWidth / image.naturalWidth, roomBelow(frame) / image.naturalHeight);
    const fitting = room * dense >= 1 ? Math.floor(room * dense) / dense : room;
    const shown = factor ?? fitting;
    image.classList.toggle("pixels", shown >= 1 / dense);
    image.style.width = `${image.naturalWidth * shown}px`;
    image.style.height = `${image.naturalHeight * shown}px`;
    part("zoom").textContent = factor === null ? "fit" : `×${factor}`;
  }
}

function roomBelow(frame) {
  const controls = part("controls").offsetHeight + 24;
  return Math.max(160, window.innerHeight - frame.getBoundingClientRect().top - window.scrollY - controls);
}

function zoom(step) {
  const sizes = [null, ...Array.from({ length: LARGEST }, (_, n) => n + 1)];
  factor = sizes[Math.min(Math.max(sizes.indexOf(factor) + step, 0), LARGEST)];
  resize();
}

// Both sides show the same place.
function follow(event) {
  for (const frame of frames) {
    if (frame === event.target) continue;
    frame.scrollLeft = event.target.scrollLeft;
    frame.scrollTop = event.target.scrollTop;
  }
}

part("join").addEventListener("submit", (event) => {
  event.preventDefault();
  during(async () => {
    ({ secret } = await order(`${address}/join`, { judge: part("judge").value }));
    localStorage.setItem(memory, secret);
    await show(await order(`${address}/pair`, { secret }));
  });
});
for (const button of choices) button.addEventListener("click", () => vote(button.dataset.choice));
part("undo").addEventListener("click", undo);
part("smaller").addEventListener("click", () => zoom(-1));
part("larger").addEventListener("click", () => zoom(1));
for (const frame of frames) frame.addEventListener("scroll", follow, { passive: true });
window.addEventListener("resize", resize);
document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
  if (event.key in CHOICES && token !== null) {
    event.preventDefault(); // the page would scroll
    vote(CHOICES[event.key]);
  } else if (event.key.toLowerCase() === "z") undo();
  else if (event.key === "+") zoom(1);
  else if (event.key === "-") zoom(-1);
});

if (page.dataset.ended === "true") only("ended");
else if (secret === null) only("join");
else during(async () => show(await order(`${address}/pair`, { secret })));
