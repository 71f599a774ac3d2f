// What was changed in a set of examples and not saved yet: kept in this browser, and offered again on the set's page until the
// server says that it was saved.
import { LocalDraft, savedVersion } from "./local-draft.js";

export class ExampleDraft {
  constructor(editor) {
    this.editor = editor;
    this.local = new LocalDraft(`examples:${editor.dataset.set}`);
    if (savedVersion() !== null) this.local.clear();
  }

  get rows() {
    return [...this.editor.list.children];
  }

  clear() {
    this.local.clear();
  }

  keep() {
    if (!this.editor.dirty && !this.kept) return;
    this.kept = this.editor.dirty;
    if (!this.kept) return this.clear();
    const texts = this.rows.filter((row) => row.dataset.changed).map((row) => ({
      key: row.dataset.key,
      added: row.dataset.changed === "added",
      fields: [...row.querySelectorAll("textarea")].map((area) => [area.name.replace(row.dataset.key, "KEY"), area.value]),
    }));
    const removed = this.rows.filter((row) => "removed" in row.dataset).map((row) => row.dataset.key);
    this.local.keep({ at: Date.now(), texts, removed, order: this.editor.keys() }); // without room for it, the page still has it
  }

  offer() {
    const kept = this.local.read();
    if (!kept) return;
    const note = document.createElement("div");
    note.className = "note spread";
    note.setAttribute("role", "status");
    const words = document.createElement("span");
    words.textContent = `You left changes here on ${new Date(kept.at).toLocaleString()} without saving them.`;
    const back = document.createElement("button");
    const away = document.createElement("button");
    for (const [button, text] of [[back, "Put them back"], [away, "Forget them"]]) {
      button.type = "button";
      button.className = "button button-small";
      button.textContent = text;
    }
    back.addEventListener("click", () => this.restore(kept).then(() => note.remove()));
    away.addEventListener("click", () => {
      this.clear();
      note.remove();
    });
    const acts = document.createElement("span");
    acts.className = "row";
    acts.append(back, away);
    note.append(words, acts);
    this.editor.prepend(note);
  }

  async restore({ texts, removed, order }) {
    const { editor } = this;
    this.restoring = true;
    const rows = new Map(this.rows.map((row) => [row.dataset.key, row]));
    if (editor.arranged) for (const key of order) if (rows.has(key)) editor.list.append(rows.get(key));
    for (const key of removed) if (rows.has(key)) editor.remove(rows.get(key));
    for (const { key, added, fields } of texts) {
      const row = rows.get(key);
      if (row) editor.before.set(key, row.cloneNode(true));
      const url = `${location.pathname}fields/${row ? `?example=${key}` : ""}`;
      if (row) await htmx.ajax("GET", url, { target: row, swap: "outerHTML" });
      else if (added || fields.length) await htmx.ajax("GET", url, { target: editor.list, swap: "beforeend" });
      const now = row ? editor.list.querySelector(`[data-key="${key}"]`) : editor.list.lastElementChild;
      for (const [name, text] of fields) {
        const full = name.replace("KEY", now.dataset.key);
        const area = now.querySelector(`[name="${CSS.escape(full)}"]`);
        if (area) area.value = text;
        else editor.addValue(now, name.replace("value-KEY-", ""), text);
      }
    }
    this.restoring = false;
    editor.number();
    editor.changed();
  }
}
