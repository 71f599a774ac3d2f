// The side panel of one answer: opened over the grid, walked with the arrow buttons or J and K, closed with Esc.
import { copyText } from "./copy.js";
import { toast } from "./toast.js";

const panel = document.getElementById("cell-panel");
const sheet = () => document.querySelector("grid-sheet");
const body = () => panel.querySelector(".panel-body");
const here = () => document.querySelector(`grid-sheet td[data-cell="${body()?.dataset.cell}"]`);

async function open(url) {
  await htmx.ajax("GET", url, { target: "#cell-panel", swap: "innerHTML" });
  if (!body()) return;
  if (!panel.open) panel.showModal();
  const mark = panel.querySelector("[data-panel-mark]");
  if (mark) mark.checked = sheet().marks.has(body().dataset.cell);
}

function walk(step) {
  const cells = [...document.querySelectorAll("grid-sheet td[data-cell]")];
  const next = cells[cells.indexOf(here()) + step];
  if (next) open(sheet().url(`cells/${next.dataset.cell}/`));
}

document.addEventListener("panel:open", ({ detail }) => open(detail.url));

panel.addEventListener("close", () => {
  const cell = here();
  panel.replaceChildren();
  cell?.focus({ preventScroll: true });
  if (cell) sheet().rows.fetch(cell.closest("tr"));
  document.dispatchEvent(new CustomEvent("panel:closed"));
});

panel.addEventListener("click", ({ target }) => {
  const step = target.closest("[data-walk]");
  if (step) walk(Number(step.dataset.walk));
  const act = target.closest("[data-panel-act]")?.dataset.panelAct;
  const cell = here();
  if (act === "copy") copyText(panel.querySelector("template[data-raw]").content.textContent).then(() => toast("Copied."));
  if (act === "stop" && cell) sheet().act(cell, "stop");
  if (act === "again") {
    sheet().run({ column: body().dataset.column, input: body().dataset.input });
    panel.close();
  }
});

panel.addEventListener("change", ({ target }) => {
  if (target.matches("[data-panel-mark]")) sheet().marks.set(body().dataset.cell, target.checked);
  if (target.matches("[data-against]")) {
    const { url } = body().dataset;
    htmx.ajax("GET", target.value ? `${url}?against=${target.value}` : url, { target: "#cell-panel", swap: "innerHTML" });
  }
});

panel.addEventListener("reply:end", () => body() && open(body().dataset.url));

panel.addEventListener("keydown", (event) => {
  if (event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "j") walk(1);
  if (event.key === "k") walk(-1);
});
