// One image, large: neighbours by keys, whole-number zoom, flicker against the baseline, what has changed, its scores.

import { pause } from "./live.js";

const FLICKER = 500; // milliseconds: two a second, below the three that may harm (WCAG 2.2, 2.3.1)

const dialog = document.getElementById("viewer");
const stage = document.getElementById("stage");
const frame = document.getElementById("frame");
const picture = document.getElementById("picture");
const outline = document.getElementById("outline");
const note = document.getElementById("viewer-note");
const scores = document.getElementById("viewer-scores");

function address(sha256) {
  return `/lab/images/${sha256}.png`;
}

function percentOf(share) {
  return `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
}

export class Viewer {
  constructor(onMove) {
    this.onMove = onMove;
    this.zoom = "fit";
    this.shows = { flicker: false, changed: false, explain: false, overlay: false };
    this.other = false; // whether the image that is compared with is the one to be seen
    document.getElementById("viewer-close").addEventListener("click", () => dialog.close());
    for (const button of dialog.querySelectorAll("[data-zoom]")) {
      button.addEventListener("click", () => this.setZoom(button.dataset.zoom));
    }
    for (const name of Object.keys(this.shows)) {
      document.getElementById(name).addEventListener("click", () => this.toggle(name));
    }
    dialog.addEventListener("keydown", (event) => this.press(event));
    dialog.addEventListener("close", () => this.closed());
    picture.addEventListener("load", () => this.fit());
    new ResizeObserver(() => this.fit()).observe(stage);
  }

  open(grid, columns, row, column) {
    Object.assign(this, { grid, columns, row, column });
    this.resume = pause();
    dialog.showModal();
    stage.focus({ preventScroll: true });
    this.show();
  }

  closed() {
    this.stopFlicker();
    this.resume?.();
    document.getElementById("grid").focus({ preventScroll: true });
  }

  get cell() {
    return this.grid.rows[this.row].cells[this.columns[this.column]];
  }

  // The row that this one is compared with: the baseline, else the base model without a LoRA.
  get reference() {
    const painted = (kind) => this.grid.rows.find((row) => row.kind === kind && row.cells[this.columns[this.column]]);
    const found = painted("baseline") ?? painted("without");
    return found === this.grid.rows[this.row] ? undefined : found;
  }

  show() {
    const { prompt_id: prompt, seed, prompt: text } = this.grid.columns[this.columns[this.column]];
    document.getElementById("viewer-title").textContent = `${prompt} · seed ${seed} · ${this.grid.rows[this.row].label}`;
    document.getElementById("viewer-prompt").textContent = text;
    this.other = false;
    this.paint();
    this.explain();
    this.compare();
    this.setPressed();
  }

  paint() {
    const reference = this.reference;
    const cell = this.other && reference ? reference.cells[this.columns[this.column]] : this.cell;
    picture.src = this.shows.overlay && !this.other ? `/lab/api/images/${cell[0]}/overlay.png` : address(cell[1]);
    picture.alt = `${document.getElementById("viewer-title").textContent}`;
    dialog.dataset.showing = this.other ? "reference" : "image";
    const isOutlined = this.shows.changed && !this.other && !this.shows.overlay && outline.dataset.ready;
    outline.toggleAttribute("hidden", !isOutlined); // SVG elements have no such property
  }

  fit() {
    const width = picture.naturalWidth;
    const height = picture.naturalHeight;
    if (!width || !dialog.open) return;
    const room = Math.min(stage.clientWidth / width, stage.clientHeight / height);
    // Whole factors keep all pixels of one size; what is larger than the stage has to shrink, and smoothly.
    const factor = this.zoom === "fit" ? (room >= 1 ? Math.floor(room) : room) : Number(this.zoom);
    picture.style.width = `${width * factor}px`;
    picture.style.height = `${height * factor}px`;
    picture.classList.toggle("smooth", factor < 1);
  }

  setZoom(zoom) {
    this.zoom = zoom;
    this.fit();
    this.setPressed();
  }

  toggle(name) {
    this.shows[name] = !this.shows[name];
    if (name === "flicker") this.shows.flicker ? this.startFlicker() : this.stopFlicker();
    if (name === "explain") this.explain();
    if (name === "changed") this.compare();
    this.paint();
    this.setPressed();
  }

  setPressed() {
    for (const button of dialog.querySelectorAll("[data-zoom]")) {
      button.setAttribute("aria-pressed", String(button.dataset.zoom === this.zoom));
    }
    for (const [name, on] of Object.entries(this.shows)) {
      document.getElementById(name).setAttribute("aria-pressed", String(on));
    }
  }

  startFlicker() {
    if (!this.reference) {
      this.shows.flicker = false;
      note.textContent = "There is no other image of this prompt and seed to compare with.";
      return;
    }
    const swap = () => {
      this.other = !this.other;
      note.textContent = this.other ? `Showing ${this.reference?.label ?? "this image"}` : "Showing this image";
      this.paint();
    };
    swap();
    // Who wants no motion swaps by pressing once more.
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    this.timer = setInterval(swap, FLICKER);
  }

  stopFlicker() {
    clearInterval(this.timer);
    this.shows.flicker = false;
    this.other = false;
    note.textContent = "";
  }

  async compare() {
    delete outline.dataset.ready;
    outline.toggleAttribute("hidden", true);
    if (!this.shows.changed) return;
    const reference = this.reference;
    const after = this.cell;
    if (!reference) {
      note.textContent = "There is no other image of this prompt and seed to compare with.";
      return;
    }
    const before = reference.cells[this.columns[this.column]];
    const answer = await fetch(`/lab/api/change?before=${before[1]}&after=${after[1]}`);
    if (!answer.ok || after !== this.cell) return;
    const change = await answer.json();
    if (!change.comparable) {
      note.textContent = `This image and that of ${reference.label} differ in size.`;
      return;
    }
    outline.setAttribute("viewBox", `0 0 ${change.columns} ${change.rows}`);
    outline.firstElementChild.setAttribute("d", change.outline);
    outline.dataset.ready = "yes";
    note.textContent =
      `${change.changed} of ${change.rows * change.columns} cells (${percentOf(change.share)}) differ from ` +
      `${reference.label}; ${change.new_colors} new colours, ${change.lost_colors} lost.`;
    this.paint();
  }

  async explain() {
    scores.hidden = !this.shows.explain;
    if (!this.shows.explain) return;
    const cell = this.cell;
    const answer = await fetch(`/lab/api/images/${cell[0]}`);
    if (!answer.ok || cell !== this.cell) return;
    const image = await answer.json();
    const figures = [
      ["Overall", image.overall_score],
      ...Object.entries(image.color_accuracy ?? {}),
      ...Object.entries(image.style_quality ?? {}),
      ["Pixel size", image.pixel_size],
    ].filter(([, value]) => typeof value === "number");
    scores.replaceChildren(
      ...figures.map(([name, value]) => {
        const group = document.createElement("div");
        group.append(document.createElement("dt"), document.createElement("dd"));
        group.firstChild.textContent = name.replaceAll("_", " ");
        group.lastChild.textContent = Number.isInteger(value) ? String(value) : value.toFixed(1);
        return group;
      }),
    );
    if (image.fault) note.textContent = image.fault;
  }

  // The next cell in a direction that was painted.
  move(down, right) {
    let { row, column } = this;
    do {
      row += down;
      column += right;
      if (!this.grid.rows[row] || column < 0 || column >= this.columns.length) return;
    } while (!this.grid.rows[row].cells[this.columns[column]]);
    Object.assign(this, { row, column });
    this.onMove(row, column);
    this.show();
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const zooms = ["fit", "1", "2", "4", "8", "16"];
    const step = (by) => {
      const at = zooms.indexOf(this.zoom) + by;
      if (zooms[at]) this.setZoom(zooms[at]);
    };
    const action = {
      ArrowLeft: () => this.move(0, -1),
      ArrowRight: () => this.move(0, 1),
      ArrowUp: () => this.move(-1, 0),
      ArrowDown: () => this.move(1, 0),
      " ": () => this.toggle("flicker"),
      c: () => this.toggle("changed"),
      s: () => this.toggle("explain"),
      o: () => this.toggle("overlay"),
      "+": () => step(1),
      "-": () => step(-1),
      0: () => this.setZoom("fit"),
    }[event.key];
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }
}
