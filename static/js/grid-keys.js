// The keys of a grid: arrows move, Enter opens, Ctrl or Cmd with Enter runs, Esc stops, digits vote.
const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

export function keys(sheet, event) {
  const open = document.querySelector("dialog[open]");
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if ((event.ctrlKey || event.metaKey) && event.key === "Enter" && !open) {
    event.preventDefault();
    document.querySelector("button[data-run='all']")?.click();
    return;
  }
  if (open || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const cell = event.target.closest?.("grid-sheet td, grid-sheet th");
  if (event.key === "Escape") return stop(sheet, cell, event);
  const row = cell?.closest("tr");
  if (/^[0-9t]$/i.test(event.key)) {
    const votable = row?.matches("[data-hidden][data-votable]") ? row : sheet.querySelector("tr[data-hidden][data-votable]");
    if (votable) sheet.vote(votable, /^t$/i.test(event.key) ? "0" : event.key);
    return;
  }
  if (!cell || event.target !== cell) return;
  if (STEPS[event.key]) move(cell, event);
  else if (event.key === "Enter") enter(sheet, cell, event);
  else if (cell.dataset.cell && event.key.toLowerCase() === "r") cell.querySelector("[data-act=again]")?.click();
  else if (cell.dataset.cell && event.key.toLowerCase() === "x") sheet.marks.set(cell.dataset.cell);
}

function stop(sheet, cell, event) {
  if (document.querySelector("details.menu[open]")) return;
  const one = cell?.querySelector("[data-act=stop]");
  if (one) one.click();
  else if (sheet.rows.unfinished) sheet.stopAll();
  else return;
  event.preventDefault();
}

function move(cell, event) {
  const [down, right] = STEPS[event.key];
  const rows = [...cell.closest("table").querySelectorAll("tbody tr[data-input]")];
  const row = rows[rows.indexOf(cell.closest("tr")) + down];
  const next = right ? (right > 0 ? cell.nextElementSibling : cell.previousElementSibling) : row?.cells[cell.cellIndex];
  if (!next?.hasAttribute("tabindex")) return;
  event.preventDefault();
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function enter(sheet, cell, event) {
  event.preventDefault();
  if (cell.dataset.cell) sheet.openCell(cell.dataset.cell);
  else if (cell.dataset.editInput) htmx.ajax("GET", cell.dataset.editInput, { target: "#grid-dialog", swap: "innerHTML" });
}
