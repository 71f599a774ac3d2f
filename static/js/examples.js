// <example-editor>: the examples of a set as one person is changing them. Moves, edits, additions and removals gather in the
// page and are saved together, as one version; until then the list is not refreshed under their hands. What is typed is also
// kept in this browser, and offered again if the page was left before it was saved.
import { socket } from "./socket.js";

const NAME = /^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/;
const MOVES = { ArrowUp: -1, ArrowDown: 1 };

class ExampleEditor extends HTMLElement {
  connectedCallback() {
    this.object = `examples:${this.dataset.set}`;
    this.before = new Map(); // key -> the row as it was before it was edited
    this.form = this.querySelector("#places");
    this.filter = this.querySelector(".examples-filter");
    if (!this.form) return;
    socket?.addEventListener("frame", ({ detail }) => {
      if (detail.type === "changed" && detail.object === this.object && this.dirty) this.lookForNewer();
    });
    this.addEventListener("click", (event) => this.click(event));
    this.addEventListener("keydown", (event) => this.key(event));
    this.addEventListener("input", () => this.changed());
    this.addEventListener("pointerdown", ({ target }) => {
      const row = target.closest("[data-handle]")?.closest("li");
      if (row) row.draggable = true;
    });
    this.addEventListener("dragstart", (event) => this.lift(event));
    this.addEventListener("dragover", (event) => this.over(event));
    this.addEventListener("drop", (event) => event.preventDefault());
    this.addEventListener("dragend", () => this.drop());
    this.form.addEventListener("submit", () => {
      this.saving = true;
      localStorage.removeItem(this.object); // the server has it from here on, and gives it back if it refuses
    });
    this.form.querySelector("[data-discard]").addEventListener("click", () => {
      this.saving = true;
      localStorage.removeItem(this.object);
    });
    addEventListener("beforeunload", (event) => this.dirty && !this.saving && event.preventDefault());
    document.addEventListener("htmx:after:swap", () => this.swapped());
    if ("dirty" in this.dataset) {
      this.dirty = true;
      document.querySelector("[data-problem]")?.focus();
    } else this.offerDraft();
    this.order = this.keys();
  }

  get section() {
    return this.querySelector("#examples");
  }

  get list() {
    return this.querySelector("#example-list");
  }

  get arranged() {
    return "arranged" in this.list.dataset;
  }

  keys() {
    return [...this.list.children].filter((row) => row.dataset.changed !== "added").map((row) => row.dataset.key);
  }

  // --- what has changed ---

  changed(words) {
    const rows = [...this.list.children];
    const count = (test) => rows.filter(test).length;
    const stay = new Set(this.keys());
    const parts = {
      edited: count((row) => row.dataset.changed === "edited" && !("removed" in row.dataset)),
      added: count((row) => row.dataset.changed === "added"),
      removed: count((row) => "removed" in row.dataset),
      "to move": [...this.list.querySelectorAll(".example-to input")].filter((field) => field.value.trim()).length,
    };
    const said = Object.entries(parts).filter(([, number]) => number).map(([verb, number]) => `${number} ${verb}`);
    if (this.keys().join() !== this.order.filter((key) => stay.has(key)).join()) said.push("reordered");
    this.dirty = said.length > 0 || "dirty" in this.dataset;
    this.form.hidden = !this.dirty;
    this.form.querySelector("[data-changes]").textContent = words ?? (said.join(", ") || "Not saved yet");
    if (this.filter) this.filter.inert = this.dirty;
    const section = this.section;
    if (this.dirty && section.dataset.refreshOn) {
      section.dataset.refreshLater = section.dataset.refreshOn;
      delete section.dataset.refreshOn;
    } else if (!this.dirty && section.dataset.refreshLater) {
      section.dataset.refreshOn = section.dataset.refreshLater;
      delete section.dataset.refreshLater;
    }
    this.keepDraft();
  }

  swapped() {
    const fresh = [...(this.list?.querySelectorAll(".example-editing:not([data-met])") ?? [])];
    for (const row of fresh) {
      row.dataset.met = "";
      const cancel = row.querySelector("[data-cancel]");
      if (cancel) cancel.hidden = !this.before.has(row.dataset.key);
    }
    this.querySelector("[data-empty]")?.toggleAttribute("hidden", Boolean(this.list?.children.length));
    if (!this.dirty && !fresh.length) this.order = this.keys(); // the list was fetched again
    this.number();
    this.changed();
    if (fresh.length && !this.restoring) fresh.at(-1).querySelector("textarea").focus();
  }

  async lookForNewer() {
    const answer = await fetch(`${location.pathname}?sort=order`, { headers: { "HX-Request": "true" } });
    const found = answer.ok && (await answer.text()).match(/data-version="(\d+)"/);
    const seen = Number(this.section.querySelector("[name=seen]").value);
    if (found) this.form.querySelector("[data-stale-note]").hidden = Number(found[1]) <= seen;
  }

  // --- acts ---

  click({ target }) {
    const row = target.closest("#example-list > li");
    if (!row) return;
    if (target.closest("[data-edit]")) this.before.set(row.dataset.key, row.cloneNode(true));
    if (target.closest("[data-cancel]")) this.cancel(row);
    if (target.closest("[data-remove]")) this.remove(row);
    if (target.closest("[data-undo]")) this.unremove(row);
    if (target.closest("[data-more]")) this.addValue(row);
  }

  cancel(row) {
    const old = this.before.get(row.dataset.key);
    row.replaceWith(old);
    htmx.process(old);
    this.number();
    this.changed();
    old.querySelector("[data-edit]").focus();
  }

  remove(row) {
    if (row.dataset.changed === "added") row.remove();
    else {
      row.dataset.removed = "";
      row.querySelector("[name=key]").disabled = true;
      const note = document.createElement("p");
      note.className = "example-removed soft";
      note.append("Removed when you save. ");
      const undo = document.createElement("button");
      undo.type = "button";
      undo.className = "button button-small";
      undo.dataset.undo = "";
      undo.textContent = "Undo";
      note.append(undo);
      row.append(note);
      undo.focus();
    }
    this.number();
    this.changed();
  }

  unremove(row) {
    delete row.dataset.removed;
    row.querySelector("[name=key]").disabled = false;
    row.querySelector(".example-removed").remove();
    this.number();
    this.changed();
  }

  addValue(row, name = row.querySelector("[data-name]").value.trim(), text = "") {
    const field = row.querySelector("[data-name]");
    const full = `value-${row.dataset.key}-${name}`;
    const there = row.querySelector(`[name="${CSS.escape(full)}"]`);
    field.setCustomValidity(NAME.test(name) ? "" : "Letters, digits, _ . and - make a variable's name; a letter comes first.");
    if (!field.reportValidity() || there) return there?.focus();
    const box = document.createElement("div");
    box.className = "field";
    const label = document.createElement("label");
    label.textContent = name;
    const area = document.createElement("textarea");
    area.rows = 1;
    area.name = full;
    area.id = full;
    area.value = text;
    area.setAttribute("form", "places");
    label.htmlFor = full;
    box.append(label, area);
    row.querySelector("[data-values]").append(box);
    field.value = "";
    area.focus();
  }

  // --- order ---

  number() {
    if (!this.list || !this.arranged) return;
    const rows = [...this.list.children];
    let place = Math.min(...rows.map((row) => Number(row.dataset.place || Infinity)));
    if (!Number.isFinite(place)) place = 1;
    for (const row of rows) {
      const shown = "removed" in row.dataset ? "–" : String(place++);
      row.querySelector(".example-place").textContent = shown;
      const handle = row.querySelector("[data-handle]");
      handle?.setAttribute("aria-label", `Example ${shown}: move it with the arrow keys, or drag it`);
    }
  }

  key(event) {
    const handle = event.target.closest("[data-handle]");
    const step = MOVES[event.key];
    if (!step || !(handle || event.altKey) || !this.arranged) return;
    const row = event.target.closest("#example-list > li");
    const other = step < 0 ? row?.previousElementSibling : row?.nextElementSibling;
    if (!row) return;
    event.preventDefault();
    if (!other) return;
    const focused = document.activeElement;
    if (step < 0) other.before(row);
    else other.after(row);
    focused.focus();
    this.number();
    this.changed(`Moved to place ${row.querySelector(".example-place").textContent}`);
  }

  lift(event) {
    const row = event.target.closest?.("#example-list > li");
    if (!row?.draggable || !this.arranged) return;
    this.held = row;
    row.classList.add("example-held");
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", row.dataset.key);
  }

  over(event) {
    const row = event.target.closest("#example-list > li");
    if (!this.held || !row) return;
    event.preventDefault();
    if (row === this.held) return;
    const box = row.getBoundingClientRect();
    if (event.clientY < box.top + box.height / 2) row.before(this.held);
    else row.after(this.held);
  }

  drop() {
    if (!this.held) return;
    this.held.draggable = false;
    this.held.classList.remove("example-held");
    this.held = null;
    this.number();
    this.changed();
  }

  // --- what was typed and not saved ---

  keepDraft() {
    if (this.saving || (!this.dirty && !this.kept)) return;
    this.kept = this.dirty;
    if (!this.dirty) return localStorage.removeItem(this.object);
    const rows = [...this.list.children].filter((row) => row.dataset.changed);
    const texts = rows.map((row) => ({
      key: row.dataset.key,
      added: row.dataset.changed === "added",
      fields: [...row.querySelectorAll("textarea")].map((area) => [area.name.replace(row.dataset.key, "KEY"), area.value]),
    }));
    const removed = [...this.list.children].filter((row) => "removed" in row.dataset).map((row) => row.dataset.key);
    try {
      localStorage.setItem(this.object, JSON.stringify({ at: Date.now(), texts, removed, order: this.keys() }));
    } catch {
      // no room: the page itself still has it
    }
  }

  offerDraft() {
    let draft = null;
    try {
      draft = JSON.parse(localStorage.getItem(this.object));
    } catch {
      localStorage.removeItem(this.object);
    }
    if (!draft) return;
    const note = document.createElement("div");
    note.className = "note spread";
    note.setAttribute("role", "status");
    const words = document.createElement("span");
    words.textContent = `You left changes here on ${new Date(draft.at).toLocaleString()} without saving them.`;
    const back = document.createElement("button");
    const away = document.createElement("button");
    for (const [button, text] of [[back, "Put them back"], [away, "Forget them"]]) {
      button.type = "button";
      button.className = "button button-small";
      button.textContent = text;
    }
    back.addEventListener("click", () => this.restore(draft).then(() => note.remove()));
    away.addEventListener("click", () => {
      localStorage.removeItem(this.object);
      note.remove();
    });
    const acts = document.createElement("span");
    acts.className = "row";
    acts.append(back, away);
    note.append(words, acts);
    this.prepend(note);
  }

  async restore({ texts, removed, order }) {
    this.restoring = true;
    const rows = new Map([...this.list.children].map((row) => [row.dataset.key, row]));
    if (this.arranged) for (const key of order) if (rows.has(key)) this.list.append(rows.get(key));
    for (const key of removed) if (rows.has(key)) this.remove(rows.get(key));
    for (const { key, added, fields } of texts) {
      const row = rows.get(key);
      if (row) this.before.set(key, row.cloneNode(true));
      const url = `${location.pathname}fields/${row ? `?example=${key}` : ""}`;
      if (row) await htmx.ajax("GET", url, { target: row, swap: "outerHTML" });
      else if (added || fields.length) await htmx.ajax("GET", url, { target: this.list, swap: "beforeend" });
      const now = row ? this.list.querySelector(`[data-key="${key}"]`) : this.list.lastElementChild;
      for (const [name, text] of fields) {
        const full = name.replace("KEY", now.dataset.key);
        const area = now.querySelector(`[name="${CSS.escape(full)}"]`);
        if (area) area.value = text;
        else this.addValue(now, name.replace("value-KEY-", ""), text);
      }
    }
    this.restoring = false;
    this.number();
    this.changed();
  }
}

customElements.define("example-editor", ExampleEditor);

document.addEventListener("input", ({ target }) => {
  const most = Number(target.dataset?.limit);
  if (!most || target.tagName !== "TEXTAREA") return;
  const size = target.value.length;
  const fits = size <= most;
  target.setCustomValidity(fits ? "" : `This is ${size.toLocaleString()} characters; at most ${most.toLocaleString()} can be pasted at once.`);
});
