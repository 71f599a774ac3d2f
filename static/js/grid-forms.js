// The dialogs of a grid: a column, inputs, a data set. They are fetched when they are asked for, and shown when they have come.
import { toast } from "./toast.js";

const dialog = document.getElementById("grid-dialog");
const MOST = 4_000_000; // characters of a pasted table, as for a file

function dress() {
  const form = dialog.querySelector("[data-column-form]");
  if (form) source(form);
  dialog.querySelector("[autofocus]")?.focus();
}

// Which half of the column's form counts.
function source(form) {
  const chosen = form.querySelector("[name='column-source']:checked")?.value ?? "prompt";
  for (const part of form.querySelectorAll("[data-for]")) part.hidden = part.dataset.for !== chosen;
}

document.addEventListener("htmx:after:swap", () => {
  if (!dialog.firstElementChild) return;
  if (!dialog.open && dialog.dataset.shown !== "no") {
    for (const menu of document.querySelectorAll("details.menu[open]")) menu.open = false;
    dialog.showModal();
  }
  dress();
});

document.addEventListener("grid-done", () => dialog.open && dialog.close());
dialog.addEventListener("close", () => dialog.replaceChildren());
document.addEventListener("htmx:response:error", ({ detail }) => {
  const plain = detail.ctx?.response?.headers.get("Content-Type")?.startsWith("text/plain");
  if (plain) toast(detail.ctx.text);
});

dialog.addEventListener("click", ({ target }) => {
  const way = target.closest("[data-way]");
  if (way) {
    for (const tab of dialog.querySelectorAll("[data-way]")) {
      tab.setAttribute("aria-selected", String(tab === way));
      document.getElementById(`way-${tab.dataset.way}`).hidden = tab !== way;
    }
  }
  if (target.closest("[data-add-message]")) {
    const fresh = dialog.querySelector("template[data-message]").content.firstElementChild.cloneNode(true);
    dialog.querySelector("[data-messages]").append(fresh);
    fresh.querySelector("textarea").focus();
  }
  const dropped = target.closest("[data-drop-message]");
  if (dropped) dropped.closest(".grid-message").remove();
});

dialog.addEventListener("change", ({ target }) => {
  if (target.name === "column-source") source(target.form);
});

dialog.addEventListener("input", ({ target }) => {
  if (target.name !== "table-table") return;
  const long = target.value.length > MOST;
  target.setCustomValidity(
    long ? `This has ${target.value.length.toLocaleString()} characters; about ${MOST.toLocaleString()} can be pasted. Import it as a data set under Data, and take its rows.` : "",
  );
  if (long) target.reportValidity();
});
