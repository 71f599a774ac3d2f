// <grid-sheet>: the table of a grid. The server renders it; this follows the answers in view word by word, fetches rows again
// when they have ended or changed, and keeps the elements that are still right. Keys are in grid-keys.js.
import { keys } from "./grid-keys.js";
import { post } from "./grid-post.js";
import { socket } from "./socket.js";
import { toast } from "./toast.js";

const BATCH = 400; // milliseconds in which rows that changed are gathered
const PACE = 1000; // between two looks at the progress, and at blind rows that are not complete
const LIVE = ["queued", "running"];

class GridSheet extends HTMLElement {
  connectedCallback() {
    this.cells = new Map(); // generation -> td
    this.visible = new Set(); // td
    this.marked = new Set(); // cell ids
    this.stale = new Set(); // input ids to fetch again
    this.dirty = new Set(); // td whose text has grown
    this.place = 0; // the column shown where only one fits
    this.observer = new IntersectionObserver((seen) => this.seen(seen), { rootMargin: "200px" });
    this.addEventListener("click", (event) => this.click(event));
    this.addEventListener("change", (event) => this.changed(event));
    this.addEventListener("focusin", (event) => this.rove(event.target.closest("td, th")));
    this.swipes();
    document.addEventListener("click", (event) => {
      const button = event.target.closest("[data-run]");
      if (button?.matches("button")) this.run({ which: button.dataset.run });
    });
    document.addEventListener("grid-done", () => this.refresh());
    document.addEventListener("grid-refused", ({ detail }) => this.say(detail.message));
    document.addEventListener("grid-said", ({ detail }) => this.say(detail.message));
    document.addEventListener("panel:closed", () => this.follow());
    document.addEventListener("keydown", (event) => keys(this, event));
    socket?.addEventListener("frame", ({ detail }) => this.take(detail));
    socket?.addEventListener("up", ({ detail }) => detail.again && this.refresh());
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

  // --- following ---

  // Finds what is in the table now: after every change of it.
  dress() {
    this.cells.clear();
    for (const td of this.querySelectorAll("td[data-generation]")) {
      td.sequence ??= Number(td.dataset.sequence);
      td.text ??= td.querySelector(".cell-text")?.textContent ?? "";
      this.cells.set(td.dataset.generation, td);
    }
    for (const td of [...this.visible]) if (!td.isConnected) this.visible.delete(td);
    for (const part of this.querySelectorAll("td[data-generation], .sheet-more")) {
      if (!part.watched) this.observer.observe(part);
      part.watched = true;
    }
    for (const td of this.querySelectorAll("td[data-cell]")) td.toggleAttribute("data-marked", this.marked.has(td.dataset.cell));
    this.columns();
    this.follow();
    if (!this.querySelector(".sheet-table [tabindex='0']")) this.rove(this.querySelector(".sheet-table td"), false);
    this.looked ??= setInterval(() => this.querySelector("[data-pending]") && this.pending(), 4 * PACE); // a notice may be lost
  }

  seen(entries) {
    for (const { target, isIntersecting } of entries) {
      if (target.matches(".sheet-more")) {
        if (isIntersecting) this.more(target);
      } else if (isIntersecting) this.visible.add(target);
      else this.visible.delete(target);
    }
    this.scrolled ??= setTimeout(() => {
      this.scrolled = null; // a socket takes only so many frames a second, however fast one scrolls
      this.follow();
    }, BATCH);
  }

  // Only answers that are unfinished and in view.
  follow() {
    const wanted = new Set([...this.visible].filter((td) => LIVE.includes(td.dataset.state)).map((td) => `generation:${td.dataset.generation}`));
    for (const name of this.followed ?? []) if (!wanted.has(name)) socket?.unsubscribe(name);
    for (const name of wanted) {
      if (this.followed?.has(name) && socket?.subscriptions.has(name)) continue;
      const td = this.cells.get(name.slice(11));
      socket?.subscribe(name, () => td.sequence);
    }
    this.followed = wanted;
  }

  take(frame) {
    if (frame.type === "changed") return this.heard(frame.object);
    const td = frame.generation && this.cells.get(frame.generation);
    if (!td || !LIVE.includes(td.dataset.state)) return;
    if (frame.type === "snapshot") {
      td.text = frame.text;
      td.sequence = frame.sequence_number;
    } else if (frame.type === "response.output_text.delta") {
      if (frame.sequence_number <= td.sequence) return;
      if (frame.after !== td.sequence) {
        td.sequence = 0; // a gap: ask for the whole text
        return socket.subscribe(`generation:${frame.generation}`, () => td.sequence);
      }
      td.text += frame.delta;
      td.sequence = frame.sequence_number;
    } else if (frame.type === "response.completed" || frame.type === "response.failed") {
      this.fetchRow(td.closest("tr"));
    }
    if (td.sequence && td.dataset.state === "queued") this.started(td);
    this.draw(td);
  }

  started(td) {
    td.dataset.state = "running";
    const chip = td.querySelector("[data-queued]");
    const passed = Number(chip?.querySelector("[data-queue-place]")?.textContent);
    if (chip) {
      chip.className = "chip chip-accent";
      chip.textContent = "Running";
      delete chip.dataset.queued;
    }
    if (!passed) return;
    for (const place of this.querySelectorAll("[data-queue-place]")) {
      if (Number(place.textContent) > passed) place.textContent = Number(place.textContent) - 1;
    }
  }

  draw(td) {
    this.dirty.add(td);
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      for (const one of this.dirty) {
        const box = one.querySelector(".cell-text");
        if (!box) continue;
        const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 24;
        box.textContent = one.text;
        if (atEnd) box.scrollTop = box.scrollHeight;
      }
      this.dirty.clear();
    });
  }

  heard(object) {
    if (object === this.name) return this.refresh();
    if (!object.startsWith("generation:")) return;
    const td = this.cells.get(object.slice(11));
    if (td) this.fetchRow(td.closest("tr"));
    if (this.querySelector("[data-pending]")) this.pending();
    if (td || this.unfinished) this.progress();
  }

  get unfinished() {
    return Number(this.querySelector("#sheet-progress")?.dataset.open) > 0;
  }

  // --- fetching ---

  fetchRow(row) {
    if (!row?.dataset.input) return;
    this.stale.add(row.dataset.input);
    this.gathering ??= setTimeout(async () => {
      const inputs = [...this.stale].slice(0, 50);
      for (const input of inputs) this.stale.delete(input);
      this.gathering = null;
      if (this.stale.size) this.fetchRow(this.querySelector(`#row-${[...this.stale][0]}`));
      const fresh = await this.get(this.url("rows/", { input: inputs }));
      if (!fresh) return;
      for (const row of fresh.querySelectorAll("tr[data-input]")) this.mergeRow(row);
      this.dress();
    }, BATCH);
    this.progress();
  }

  // Blind rows come whole or not at all, so they are looked at as long as they are not complete.
  pending() {
    this.waiting ??= setTimeout(() => {
      this.waiting = null;
      for (const row of this.querySelectorAll("tr[data-pending]")) this.fetchRow(row);
    }, PACE);
  }

  progress() {
    this.pacing ??= setTimeout(async () => {
      this.pacing = null;
      const was = this.unfinished;
      const fresh = await this.get(this.url("progress/"));
      const box = fresh?.querySelector("#sheet-progress");
      if (!box) return;
      this.querySelector("#sheet-progress").replaceWith(document.adoptNode(box));
      htmx.process(box);
      document.getElementById("grid-name").textContent = box.dataset.name;
      if (was && !this.unfinished) {
        document.getElementById("sheet-said").textContent = "All cells have ended.";
        this.refresh();
      }
    }, PACE);
  }

  // Everything again, as far as it is loaded. One at a time; asked again meanwhile, once more.
  refresh() {
    this.again = true;
    this.busy ??= (async () => {
      while (this.again) {
        this.again = false;
        await this.fetchAll();
      }
      this.busy = null;
    })();
    return this.busy;
  }

  async fetchAll() {
    const loaded = this.querySelectorAll("tr[data-input]").length;
    const fresh = await this.get(this.url("", { sheet: 1 }));
    const sheet = fresh?.querySelector("#sheet");
    if (!sheet) return;
    const body = sheet.querySelector("tbody");
    for (let more = body?.querySelector(".sheet-more"); more && Number(more.dataset.from) < loaded; more = body.querySelector(".sheet-more")) {
      const next = await this.get(this.url("rows/", { from: more.dataset.from }));
      if (!next) break;
      more.replaceWith(next);
    }
    const here = document.activeElement?.closest?.("grid-sheet td, grid-sheet th");
    const [row, place] = [here?.closest("tr")?.id, here?.cellIndex];
    for (const tr of sheet.querySelectorAll("tr[data-input]")) this.keep(tr);
    const scroll = this.querySelector(".sheet-scroll");
    const [top, left] = [scroll?.scrollTop, scroll?.scrollLeft];
    const old = this.querySelector("#sheet");
    old.replaceWith(document.adoptNode(sheet));
    htmx.process(sheet);
    const now = this.querySelector(".sheet-scroll");
    if (now && scroll) now.scrollTo(left, top);
    if (row) document.getElementById(row)?.cells[place]?.focus({ preventScroll: true });
    this.dress();
    this.progress();
  }

  async more(tr) {
    this.observer.unobserve(tr);
    const fresh = await this.get(this.url("rows/", { from: tr.dataset.from }));
    if (!fresh) return this.observer.observe(tr); // the line is down; it is asked again when it comes into view
    const rows = [...fresh.children];
    tr.replaceWith(...rows);
    for (const row of rows) htmx.process(row);
    this.dress();
  }

  async get(url) {
    const response = await fetch(url, { headers: { "HX-Request": "true" } }).catch(() => null);
    if (!response?.ok || response.redirected) return null; // the line is down, or access is gone: the socket says which
    const box = document.createElement("template");
    box.innerHTML = await response.text();
    return box.content;
  }

  mergeRow(fresh) {
    const old = this.querySelector(`#${fresh.id}`);
    if (!old) return;
    const focused = old.contains(document.activeElement) ? document.activeElement.closest("td, th")?.cellIndex : -1;
    this.keep(fresh);
    old.replaceWith(document.adoptNode(fresh));
    htmx.process(fresh);
    if (focused >= 0) fresh.cells[focused]?.focus({ preventScroll: true });
  }

  // Puts into a fresh row those cells of the old one that are still right, or further on.
  keep(fresh) {
    const old = this.querySelector(`#${fresh.id}`);
    if (!old) return;
    for (const td of [...fresh.querySelectorAll("td")]) {
      const had = td.dataset.cell && old.querySelector(`td[data-cell="${td.dataset.cell}"]`);
      if (!had) continue;
      const streaming = td.dataset.generation === had.dataset.generation && LIVE.includes(td.dataset.state) && LIVE.includes(had.dataset.state) && had.sequence >= Number(td.dataset.sequence);
      if (had.dataset.stamp === td.dataset.stamp || streaming) {
        if (td.dataset.place !== had.dataset.place) had.dataset.place = td.dataset.place;
        td.replaceWith(had);
      }
    }
  }

  // --- acting ---

  say(message) {
    toast(message);
  }

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
    if (name === "mark") this.mark(td.dataset.cell);
  }

  mark(cell, on = !this.marked.has(cell)) {
    if (on) this.marked.add(cell);
    else this.marked.delete(cell);
    this.querySelector(`td[data-cell="${cell}"]`)?.toggleAttribute("data-marked", on);
    const chip = this.querySelector(".sheet-tools [data-marked]");
    chip.hidden = this.marked.size === 0;
    chip.textContent = `${this.marked.size} marked`;
    for (const button of document.querySelectorAll("[data-collect]")) {
      const url = button.getAttribute("hx-get").split("?")[0];
      button.setAttribute("hx-get", `${url}?${new URLSearchParams([...this.marked].map((id) => ["cell", id]))}`);
    }
  }

  async vote(row, choice) {
    if (!row) return;
    const answer = await post(`${this.dataset.url}vote/`, { input: row.dataset.input, run: row.dataset.run, choice });
    if (!answer?.ok) return;
    const box = document.createElement("template");
    box.innerHTML = await answer.text();
    const fresh = box.content.querySelector("tr");
    if (fresh) this.mergeRow(fresh);
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

  changed(event) {
    if (event.target.matches("[data-which-run]")) {
      const latest = event.target.selectedIndex === 0;
      location.href = latest ? this.dataset.url : `${this.dataset.url}?run=${event.target.value}`;
    }
    if (event.target.matches("[data-pick-column]")) this.show(Number(event.target.value));
  }

  rove(cell, focus = true) {
    if (!cell || !this.table?.contains(cell)) return;
    for (const other of this.table.querySelectorAll("[tabindex='0']")) if (other !== cell && other.matches("td, th")) other.tabIndex = -1;
    if (cell.hasAttribute("tabindex")) cell.tabIndex = 0;
    if (focus) this.here = cell;
  }

  // --- one column at a time, where the screen is narrow ---

  columns() {
    const heads = [...this.querySelectorAll(".sheet-head")];
    const pick = this.querySelector("[data-pick-column]");
    pick.replaceChildren(...heads.map((head, index) => new Option(`${index + 1} of ${heads.length}: ${head.dataset.name ?? `Answer ${index + 1}`}`, index)));
    pick.parentElement.hidden = heads.length < 2;
    this.show(Math.min(this.place, Math.max(heads.length - 1, 0)));
  }

  show(place) {
    this.place = place;
    const pick = this.querySelector("[data-pick-column]");
    pick.value = place;
    for (const cell of this.querySelectorAll("[data-place]")) cell.classList.toggle("off", Number(cell.dataset.place) !== place);
  }

  swipes() {
    let from = null;
    this.addEventListener("touchstart", ({ touches }) => (from = touches.length === 1 ? touches[0] : null), { passive: true });
    this.addEventListener("touchend", ({ changedTouches: [to] }) => {
      const [x, y] = from ? [to.clientX - from.clientX, to.clientY - from.clientY] : [0, 0];
      from = null;
      if (Math.abs(x) < 60 || Math.abs(x) < 2 * Math.abs(y) || !matchMedia("(width < 800px)").matches) return;
      const count = this.querySelectorAll(".sheet-head").length;
      this.show(Math.max(0, Math.min(count - 1, this.place + (x < 0 ? 1 : -1))));
    }, { passive: true });
  }
}

customElements.define("grid-sheet", GridSheet);
