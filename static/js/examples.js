// <example-editor>: the examples of a set as one person is changing them. Moves, edits, additions and removals gather in the
// page and are saved together, as one version; until then the list is not refreshed under their hands. What is typed is also
// kept in this browser (example-draft.js).
import { ExampleDraft } from "./example-draft.js";
import { fetchHtml } from "./html.js";
import { Reorder } from "./reorder.js";
import { socket } from "./socket.js";

const NAME = /^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/;

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
    this.addEventListener("input", () => {
      this.leaving = false;
      this.changed();
    });
    new Reorder(this, {
      rows: "#example-list > li",
      handle: "[data-handle]",
      may: () => this.arranged,
      moved: (row) => {
        this.number();
        this.changed(`Moved to place ${row.querySelector(".example-place").textContent}`);
      },
    });
    this.draft = new ExampleDraft(this);
    for (const [part, happens] of [[this.form, "submit"], [this.form.querySelector("[data-discard]"), "click"]]) {
      part.addEventListener(happens, () => (this.leaving = true)); // of one's own will: the browser need not ask
    }
    this.form.querySelector("[data-discard]").addEventListener("click", () => this.draft.clear());
    addEventListener("beforeunload", (event) => this.dirty && !this.leaving && event.preventDefault());
    document.addEventListener("htmx:after:swap", () => this.swapped());
    if ("dirty" in this.dataset) {
      this.dirty = true;
      document.querySelector("[data-problem]")?.focus();
    } else this.draft.offer();
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
    const was = this.dirty;
    this.dirty = said.length > 0 || "dirty" in this.dataset;
    if (this.dirty && !was) this.lookForNewer();
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
    if (!this.leaving) this.draft.keep();
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
    if (fresh.length && !this.draft.restoring) fresh.at(-1).querySelector("textarea").focus();
  }

  async lookForNewer() {
    const fresh = await fetchHtml(`${location.pathname}?sort=order`);
    const newest = fresh?.querySelector("#examples")?.dataset.version;
    const seen = Number(this.section.querySelector("[name=seen]").value);
    if (newest) this.form.querySelector("[data-stale-note]").hidden = Number(newest) <= seen;
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
}

customElements.define("example-editor", ExampleEditor);

document.addEventListener("input", ({ target }) => {
  const most = Number(target.dataset?.limit);
  if (!most || target.tagName !== "TEXTAREA") return;
  const size = target.value.length;
  const fits = size <= most;
  target.setCustomValidity(fits ? "" : `This is ${size.toLocaleString()} characters; at most ${most.toLocaleString()} can be pasted at once.`);
});
