// <grid-sheet>: the table of a grid. The server renders it; here it hears of what changed, and carries out what people ask of it.
// Fetching rows is in grid-rows.js, following answers word by word in grid-stream.js, keys in grid-keys.js.
import { keys } from "./grid-keys.js";
import { Marks } from "./grid-marks.js";
import { OneColumn } from "./grid-narrow.js";
import { post } from "./grid-post.js";
import { SheetRows } from "./grid-rows.js";
import { AnswerStream } from "./grid-stream.js";
import { fragment } from "./html.js";
import { socket } from "./socket.js";
import { toast } from "./toast.js";

class GridSheet extends HTMLElement {
  connectedCallback() {
    this.rows = new SheetRows(this);
    this.stream = new AnswerStream(this);
    this.marks = new Marks(this);
    this.narrow = new OneColumn(this);
    this.addEventListener("click", (event) => this.click(event));
    this.addEventListener("change", (event) => event.target.matches("[data-which-run]") && this.showRun(event.target));
    this.addEventListener("focusin", (event) => this.rove(event.target.closest("td, th")));
    document.addEventListener("click", (event) => {
      const button = event.target.closest("[data-run]");
      if (button?.matches("button")) this.run({ which: button.dataset.run });
    });
    document.addEventListener("grid-done", () => this.rows.refresh());
    document.addEventListener("grid-refused", ({ detail }) => toast(detail.message));
    document.addEventListener("grid-said", ({ detail }) => toast(detail.message));
    document.addEventListener("panel:closed", () => this.stream.follow());
    document.addEventListener("keydown", (event) => keys(this, event));
    socket?.addEventListener("frame", ({ detail }) => (detail.type === "changed" ? this.heard(detail.object) : this.stream.take(detail)));
    socket?.addEventListener("up", ({ detail }) => detail.again && this.rows.refresh());
    socket?.subscribe(this.name);
    this.dress();
    const asked = this.dataset.open || /^#cell-([0-9a-f-]+)$/.exec(location.hash)?.[1];
    if (asked) this.openCell(asked);
    if (this.dataset.rowsAsked) htmx.ajax("GET", `${this.dataset.url}inputs/?dataset=${this.dataset.rowsAsked}`, { target: "#grid-dialog", swap: "innerHTML" });
  }

  get name() {
    return `grid:${this.dataset.grid}`;
  }

  get table() {
    return this.querySelector(".sheet-table");
  }

  url(part, fields = {}) {
    const asked = new URLSearchParams(this.dataset.run ? { run: this.dataset.run } : {});
    for (const [key, value] of Object.entries(fields)) for (const one of [value].flat()) asked.append(key, one);
    return `${this.dataset.url}${part}?${asked}`;
  }

  // After every change of the table: each part finds what is in it now.
  dress() {
    for (const part of [this.stream, this.rows, this.marks, this.narrow]) part.find();
    if (!this.querySelector(".sheet-table [tabindex='0']")) this.rove(this.querySelector(".sheet-table td"));
  }

  heard(object) {
    if (object === this.name) return this.rows.refresh();
    if (!object.startsWith("generation:")) return;
    const td = this.stream.cells.get(object.slice("generation:".length));
    if (td) this.rows.fetch(td.closest("tr"));
    this.rows.pending();
    if (td || this.rows.unfinished) this.rows.progress();
  }

  // --- acting ---

  async run(fields) {
    const what = fields.which === "all" ? {} : fields;
    const answer = await post(`${this.dataset.url}run/`, what);
    if (answer?.status === 204 && this.dataset.run) location.href = this.dataset.url; // the run is the latest, not the one shown
  }

  stopAll() {
    this.querySelector("[data-stop-all]")?.click();
    toast("Stopping. “Run these again” goes on from here.");
  }

  act(td, name) {
    const row = td.closest("tr");
    if (name === "open") this.openCell(td.dataset.cell);
    if (name === "again") this.run({ column: td.dataset.column, input: row.dataset.input });
    if (name === "stop") post(`${this.dataset.url}stop/`, { cell: td.dataset.cell });
  }

  async vote(row, choice) {
    if (!row) return;
    const answer = await post(`${this.dataset.url}vote/`, { input: row.dataset.input, run: row.dataset.run, choice });
    if (!answer?.ok) return;
    const text = await answer.text().catch(() => null);
    if (text === null) return this.rows.fetch(row); // the vote is kept; the line broke off as it was answered
    const fresh = fragment(text).querySelector("tr");
    if (fresh) this.rows.merge(fresh);
    this.dress();
    const next = this.querySelector("tr[data-hidden][data-votable]");
    next?.querySelector("td")?.focus();
  }

  openCell(cell) {
    if (cell) document.dispatchEvent(new CustomEvent("panel:open", { detail: { url: this.url(`cells/${cell}/`) } }));
  }

  click(event) {
    const button = event.target.closest("button, a, summary, select, label, input");
    const td = event.target.closest("td.sheet-cell");
    if (button?.dataset.vote) return this.vote(button.closest("tr"), button.dataset.vote);
    if (button?.dataset.act) return this.act(td, button.dataset.act);
    if (!button && td?.dataset.cell && !getSelection().toString()) this.act(td, "open");
  }

  showRun(select) {
    const latest = select.selectedIndex === 0;
    location.href = latest ? this.dataset.url : `${this.dataset.url}?run=${select.value}`;
  }

  // One cell at a time is reached with Tab; arrows go on from there.
  rove(cell) {
    if (!cell || !this.table?.contains(cell)) return;
    for (const other of this.table.querySelectorAll("[tabindex='0']")) if (other !== cell && other.matches("td, th")) other.tabIndex = -1;
    if (cell.hasAttribute("tabindex")) cell.tabIndex = 0;
  }
}

customElements.define("grid-sheet", GridSheet);
