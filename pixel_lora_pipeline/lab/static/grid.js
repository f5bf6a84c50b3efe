// The grid of epochs: only the cells that can be seen are there, however many there are.

import { onEvent } from "./live.js";
import { Viewer } from "./viewer.js";

const GAP = 6;
const HEAD = 54;
const SIDE = 132;
const SPARE = 2; // rows and columns beyond the edge, so that scrolling finds them painted

const box = document.getElementById("grid");
const size = document.getElementById("size");
const firstSeeds = document.getElementById("first-seeds");
const withScores = document.getElementById("scores");
const sheet = element("div", "sheet");
const heads = element("div", "heads");
const sides = element("div", "sides");
const corner = element("div", "corner");
box.append(corner, heads, sides, sheet);

let grid = { columns: [], rows: [], best: null };
let columns = []; // of the grid, those that are shown: their numbers
let chosen = { row: 0, column: 0 };
const cells = new Map();
const viewer = new Viewer(choose);

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function side() {
  return Number(size.value);
}

async function load() {
  const answer = await fetch(`/lab/api/runs/${encodeURIComponent(box.dataset.run)}/grid`, { cache: "no-store" });
  if (!answer.ok) return;
  const before = grid.rows[chosen.row]?.label;
  grid = await answer.json();
  if (before !== undefined) chosen.row = Math.max(0, grid.rows.findIndex((row) => row.label === before));
  document.getElementById("empty").hidden = grid.rows.length > 0;
  box.hidden = !grid.rows.length;
  lay();
}

function lay() {
  const asked = new Set();
  columns = grid.columns.flatMap((column, at) => {
    const known = asked.has(column.prompt_id);
    asked.add(column.prompt_id);
    return firstSeeds.checked && known ? [] : [at];
  });
  const step = side() + GAP;
  sheet.style.width = `${SIDE + columns.length * step + GAP}px`;
  sheet.style.height = `${HEAD + grid.rows.length * step + GAP}px`;
  corner.style.width = `${SIDE}px`;
  corner.style.height = `${HEAD}px`;
  corner.style.marginBottom = `${-HEAD}px`;
  chosen.column = Math.min(chosen.column, Math.max(0, columns.length - 1));
  chosen.row = Math.min(chosen.row, Math.max(0, grid.rows.length - 1));
  for (const cell of cells.values()) cell.remove();
  cells.clear();
  heads.replaceChildren();
  sides.replaceChildren();
  box.setAttribute("aria-rowcount", grid.rows.length);
  box.setAttribute("aria-colcount", columns.length);
  draw();
}

function visible(from, length, count) {
  const step = side() + GAP;
  const first = Math.max(0, Math.floor(from / step) - SPARE);
  return [first, Math.min(count, Math.ceil((from + length) / step) + SPARE)];
}

function draw() {
  const [top, bottom] = visible(box.scrollTop, box.clientHeight - HEAD, grid.rows.length);
  const [left, right] = visible(box.scrollLeft, box.clientWidth - SIDE, columns.length);
  const wanted = new Set();
  for (let row = top; row < bottom; row += 1) {
    for (let column = left; column < right; column += 1) {
      const key = `${row} ${column}`;
      wanted.add(key);
      if (!cells.has(key)) show(row, column, key);
    }
  }
  for (const [key, cell] of cells) {
    if (wanted.has(key)) continue;
    cell.remove();
    cells.delete(key);
  }
  label(heads, "column", left, right, (column, made) => {
    const { prompt_id: prompt, seed } = grid.columns[columns[column]];
    made.textContent = firstSeeds.checked ? prompt : `${prompt} · ${seed}`;
    made.title = grid.columns[columns[column]].prompt;
    place(made, SIDE + GAP / 2 + column * (side() + GAP), 0, side(), HEAD);
  });
  label(sides, "row", top, bottom, (row, made) => {
    made.textContent = grid.rows[row].label;
    made.classList.toggle("best", grid.rows[row].epoch !== null && grid.rows[row].epoch === grid.best);
    place(made, 0, HEAD + GAP / 2 + row * (side() + GAP), SIDE, side());
  });
  mark();
}

function label(parent, name, from, to, fill) {
  const present = new Map([...parent.children].map((child) => [Number(child.dataset.at), child]));
  for (const [at, child] of present) if (at < from || at >= to) child.remove();
  for (let at = from; at < to; at += 1) {
    if (present.has(at)) continue;
    const made = element("div", name);
    made.dataset.at = at;
    fill(at, made);
    parent.append(made);
  }
}

function place(made, left, top, width, height) {
  Object.assign(made.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
}

function show(row, column, key) {
  const made = element("button", "cell");
  made.type = "button";
  made.tabIndex = -1;
  made.dataset.key = key;
  place(made, SIDE + GAP / 2 + column * (side() + GAP), HEAD + GAP / 2 + row * (side() + GAP), side(), side());
  const cell = grid.rows[row].cells[columns[column]];
  const { prompt_id: prompt, seed } = grid.columns[columns[column]];
  made.setAttribute("aria-label", `${prompt}, seed ${seed}, ${grid.rows[row].label}${cell ? "" : ": not painted"}`);
  made.disabled = !cell;
  if (cell) {
    const picture = element("img", "pixels");
    picture.alt = "";
    picture.decoding = "async";
    picture.src = `/lab/images/${cell[2] ?? cell[1]}.png`;
    made.append(picture);
    const score = grid.rows[row].scores[prompt];
    if (withScores.checked && score !== undefined) made.append(element("span", "score", score.toFixed(0)));
  }
  cells.set(key, made);
  sheet.append(made);
}

function mark() {
  for (const [key, cell] of cells) cell.classList.toggle("chosen", key === `${chosen.row} ${chosen.column}`);
}

// Makes a cell the chosen one and scrolls so that it can be seen.
function choose(row, column) {
  chosen = { row, column };
  const step = side() + GAP;
  const left = column * step;
  const top = row * step;
  if (left < box.scrollLeft) box.scrollLeft = left;
  if (left + step > box.scrollLeft + box.clientWidth - SIDE) box.scrollLeft = left + step - box.clientWidth + SIDE;
  if (top < box.scrollTop) box.scrollTop = top;
  if (top + step > box.scrollTop + box.clientHeight - HEAD) box.scrollTop = top + step - box.clientHeight + HEAD;
  draw();
}

function open() {
  if (grid.rows[chosen.row]?.cells[columns[chosen.column]]) viewer.open(grid, columns, chosen.row, chosen.column);
}

let drawing = false;
box.addEventListener("scroll", () => {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    draw();
  });
});
new ResizeObserver(draw).observe(box);
for (const control of [size, firstSeeds, withScores]) control.addEventListener("change", lay);

box.addEventListener("click", ({ target }) => {
  const cell = target.closest(".cell");
  if (!cell) return;
  const [row, column] = cell.dataset.key.split(" ").map(Number);
  choose(row, column);
  box.focus({ preventScroll: true });
  open();
});

const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
box.addEventListener("keydown", (event) => {
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    open();
  }
  const move = MOVES[event.key];
  if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const row = Math.min(Math.max(chosen.row + move[0], 0), grid.rows.length - 1);
  const column = Math.min(Math.max(chosen.column + move[1], 0), columns.length - 1);
  choose(row, column);
});

// `#image=12` opens that image.
function follow() {
  const asked = new URLSearchParams(location.hash.slice(1)).get("image");
  if (!asked) return;
  grid.rows.forEach((row, at) => {
    const column = row.cells.findIndex((cell) => cell?.[0] === asked);
    if (column < 0) return;
    if (!columns.includes(column)) {
      firstSeeds.checked = false;
      lay();
    }
    choose(at, columns.indexOf(column));
    open();
  });
}

onEvent(["epoch", "baseline"], (events) => {
  const isOurs = ({ kind, subject }) => kind === "baseline" || subject === box.dataset.run;
  if (!events || events.some(isOurs)) load();
});
await load();
follow();
