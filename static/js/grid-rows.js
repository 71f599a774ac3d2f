// The rows of a grid, fetched again when they have ended or changed, and as one scrolls down. What is already right stays: its
// elements, what streams in them, the focus and the place scrolled to.
import { isLive } from "./grid-stream.js";
import { fetchHtml } from "./html.js";
import { oneAtATime } from "./one-at-a-time.js";

const BATCH = 400; // milliseconds in which rows that changed are gathered
const MOST = 50; // rows in one fetch
const PACE = 1000; // between two looks at the progress, and at blind rows that are not complete

export class SheetRows {
  constructor(sheet) {
    this.sheet = sheet;
    this.stale = new Set(); // input ids to fetch again
    this.end = new IntersectionObserver((seen) => this.seen(seen), { rootMargin: "200px" });
    setInterval(() => this.pending(), 4 * PACE); // a notice may be lost
  }

  // Notices the end of what is loaded when one comes near it.
  find() {
    const more = this.sheet.querySelector(".sheet-more");
    if (more) this.end.observe(more);
  }

  seen(entries) {
    for (const { target, isIntersecting } of entries) if (isIntersecting) this.more(target);
  }

  get unfinished() {
    return Number(this.sheet.querySelector("#sheet-progress")?.dataset.open) > 0;
  }

  // One row; those that are asked for within a moment go together.
  fetch(row) {
    if (!row?.dataset.input) return;
    this.stale.add(row.dataset.input);
    this.gathering ??= setTimeout(async () => {
      const inputs = [...this.stale].slice(0, MOST);
      for (const input of inputs) this.stale.delete(input);
      this.gathering = null;
      if (this.stale.size) this.fetch(this.sheet.querySelector(`#row-${[...this.stale][0]}`));
      const fresh = await fetchHtml(this.sheet.url("rows/", { input: inputs }));
      if (!fresh) return;
      for (const row of fresh.querySelectorAll("tr[data-input]")) this.merge(row);
      this.sheet.dress();
    }, BATCH);
    this.progress();
  }

  // Blind rows come whole or not at all, so they are looked at as long as they are not complete.
  pending() {
    if (!this.sheet.querySelector("[data-pending]")) return;
    this.waiting ??= setTimeout(() => {
      this.waiting = null;
      for (const row of this.sheet.querySelectorAll("tr[data-pending]")) this.fetch(row);
    }, PACE);
  }

  progress() {
    this.pacing ??= setTimeout(async () => {
      this.pacing = null;
      const was = this.unfinished;
      const fresh = await fetchHtml(this.sheet.url("progress/"));
      const box = fresh?.querySelector("#sheet-progress");
      if (!box) return;
      this.sheet.querySelector("#sheet-progress").replaceWith(box);
      htmx.process(box);
      document.getElementById("grid-name").textContent = box.dataset.name;
      if (was && !this.unfinished) {
        document.getElementById("sheet-said").textContent = "All cells have ended.";
        this.refresh();
      }
    }, PACE);
  }

  // Everything again, as far as it is loaded.
  refresh = oneAtATime(() => this.fetchAll());

  async fetchAll() {
    const loaded = this.sheet.querySelectorAll("tr[data-input]").length;
    const fresh = await fetchHtml(this.sheet.url("", { sheet: 1 }));
    const table = fresh?.querySelector("#sheet");
    if (!table) return;
    const body = table.querySelector("tbody");
    for (let more = body?.querySelector(".sheet-more"); more && Number(more.dataset.from) < loaded; more = body.querySelector(".sheet-more")) {
      const next = await fetchHtml(this.sheet.url("rows/", { from: more.dataset.from }));
      if (!next) break;
      more.replaceWith(next);
    }
    const here = document.activeElement?.closest?.("grid-sheet td, grid-sheet th");
    const [row, place] = [here?.closest("tr")?.id, here?.cellIndex];
    for (const tr of table.querySelectorAll("tr[data-input]")) this.keep(tr);
    const scroll = this.sheet.querySelector(".sheet-scroll");
    const [top, left] = [scroll?.scrollTop, scroll?.scrollLeft];
    this.sheet.querySelector("#sheet").replaceWith(table);
    htmx.process(table);
    const now = this.sheet.querySelector(".sheet-scroll");
    if (now && scroll) now.scrollTo(left, top);
    if (row) document.getElementById(row)?.cells[place]?.focus({ preventScroll: true });
    this.sheet.dress();
    this.progress();
  }

  async more(tr) {
    this.end.unobserve(tr);
    const fresh = await fetchHtml(this.sheet.url("rows/", { from: tr.dataset.from }));
    if (!fresh) return setTimeout(() => this.end.observe(tr), 4 * PACE); // and asks again, if it is still in view
    const rows = [...fresh.children];
    tr.replaceWith(...rows);
    for (const row of rows) htmx.process(row);
    this.sheet.dress();
  }

  merge(fresh) {
    const old = this.sheet.querySelector(`#${fresh.id}`);
    if (!old) return;
    const focused = old.contains(document.activeElement) ? document.activeElement.closest("td, th")?.cellIndex : -1;
    this.keep(fresh);
    old.replaceWith(fresh);
    htmx.process(fresh);
    if (focused >= 0) fresh.cells[focused]?.focus({ preventScroll: true });
  }

  // Puts into a fresh row those cells of the old one that are still right, or further on.
  keep(fresh) {
    const old = this.sheet.querySelector(`#${fresh.id}`);
    if (!old) return;
    for (const td of [...fresh.querySelectorAll("td")]) {
      const had = td.dataset.cell && old.querySelector(`td[data-cell="${td.dataset.cell}"]`);
      if (!had) continue;
      const same = td.dataset.generation === had.dataset.generation;
      const streaming = same && isLive(td) && isLive(had) && had.sequence >= Number(td.dataset.sequence);
      if (had.dataset.stamp === td.dataset.stamp || streaming) {
        if (td.dataset.place !== had.dataset.place) had.dataset.place = td.dataset.place;
        td.replaceWith(had);
      }
    }
  }
}
