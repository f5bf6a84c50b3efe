// What people decide on experiments and principles. The parts are drawn again by live.js once the server has it.
import { order } from "./order.js";
import { pause } from "./live.js";

const trouble = document.getElementById("trouble");
let resume = null; // while a form is open, nothing is drawn again under the writer's hands

async function decide(address, content) {
  trouble.textContent = "";
  try {
    await order(address, content);
    return true;
  } catch (error) {
    trouble.textContent = error.message;
    trouble.scrollIntoView({ block: "nearest" });
    return false;
  }
}

function open(card, name) {
  for (const form of card.querySelectorAll("form")) form.hidden = form.dataset.form !== name || !form.hidden;
  const shown = card.querySelector("form:not([hidden])");
  for (const button of card.querySelectorAll("button[data-form]")) {
    button.setAttribute("aria-expanded", String(shown?.dataset.form === button.dataset.form));
  }
  shown?.querySelector("textarea, input").focus();
  settle();
}

function settle() {
  const writing = document.querySelector("main form:not([hidden])") !== null;
  if (writing) resume ??= pause();
  else {
    resume?.();
    resume = null;
  }
}

function addressOf(card) {
  const kind = card.matches(".principle") ? "principles" : "experiments";
  return `/lab/api/${kind}/${encodeURIComponent(card.dataset.id)}`;
}

document.getElementById("main").addEventListener("click", ({ target }) => {
  const card = target.closest(".experiment, .principle");
  if (!card || !target.matches("button")) return;
  const { state, before, form, close, approve } = target.dataset;
  if (state) decide(`${addressOf(card)}/state`, { state });
  else if (before !== undefined) decide(`${addressOf(card)}/place`, { before: before || null });
  else if (approve !== undefined) decide(`${addressOf(card)}/approve`, {});
  else if (form || close !== undefined) open(card, form);
});

document.getElementById("main").addEventListener("submit", async (event) => {
  event.preventDefault();
  const card = event.target.closest(".experiment, .principle");
  const written = Object.fromEntries(new FormData(event.target));
  const [path, content] = {
    edit: ["parameters", written],
    cancel: ["state", { state: "SKIPPED", ...written }],
    revoke: ["revoke", written],
  }[event.target.dataset.form];
  if (await decide(`${addressOf(card)}/${path}`, content)) open(card, undefined);
});
