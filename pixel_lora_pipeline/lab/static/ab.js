// Blind tests: making one, ending it, and deciding whose votes count.
import { order } from "./order.js";

const trouble = document.getElementById("trouble");
const create = document.getElementById("create");
const result = document.getElementById("result");

async function ordered(address, content) {
  trouble.textContent = "";
  try {
    return await order(address, content);
  } catch (error) {
    trouble.textContent = error.message;
    return null;
  }
}

function oneMore() {
  const rows = create.querySelectorAll("#checkpoints label");
  const row = rows[0].cloneNode(true);
  row.firstChild.textContent = `Model ${String.fromCharCode(65 + rows.length)} `;
  const input = row.querySelector("input");
  input.value = "";
  input.required = false;
  rows[rows.length - 1].after(row);
  input.focus();
  document.getElementById("more").disabled = rows.length + 1 >= Number(create.dataset.most);
}

create?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(create);
  const made = await ordered("/lab/api/ab", { checkpoints: form.getAll("checkpoint"), name: form.get("name") });
  if (made) location.assign(made.address);
});
document.getElementById("more")?.addEventListener("click", oneMore);

result?.addEventListener("click", async ({ target }) => {
  const address = `/lab/api/ab/${encodeURIComponent(result.dataset.test)}`;
  if (target.dataset.order) await ordered(`${address}/${target.dataset.order}`, {});
  else if (target.dataset.judge) {
    const counts = target.dataset.counts === "false";
    const why = counts ? "" : prompt(`Why should the votes of ${target.dataset.judge} not count?`);
    if (why !== null) await ordered(`${address}/judges`, { judge: target.dataset.judge, counts, why });
  }
});
