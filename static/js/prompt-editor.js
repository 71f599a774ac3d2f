// <prompt-editor>: the editor of a prompt. Rows, variables, the local draft and the merge are in modules of their own; this asks
// for a preview when typing rests, saves (mod+S), and says what came of it without touching what is typed.
import { LocalDraft, savedVersion } from "./local-draft.js";
import { merging } from "./prompt-merge.js";
import { MessageRows } from "./prompt-rows.js";
import { variablesIn, VariableRows } from "./prompt-variables.js";
import { toast } from "./toast.js";

const REST = 400; // milliseconds without a key before the preview is asked for
const NOT_TYPED = new Set(["csrfmiddlewaretoken", "prompt"]);

const typedIn = (form) => [...new FormData(form)].filter(([name, value]) => !NOT_TYPED.has(name) && typeof value === "string");
const draftOf = (key) => new LocalDraft(`prompt-draft:${key}`);

class PromptEditor extends HTMLElement {
  connectedCallback() {
    if (this.form) return;
    this.form = this.querySelector("#prompt-form");
    this.note = this.querySelector(".draft-note");
    this.draft = draftOf(this.dataset.key);
    this.rows = new MessageRows(
      this.querySelector(".message-rows"),
      this.querySelector("template[data-row]"),
      () => this.typed(),
      (words) => this.say(words),
    );
    this.variables = new VariableRows(
      this.querySelector(".variables"),
      this.querySelector("template[data-variable]"),
      this.querySelector(".variables-none"),
    );
    this.addEventListener("input", (event) => this.typed(event.target));
    this.addEventListener("change", (event) => event.target.name === "kind" && this.kindChosen(event));
    this.addEventListener("click", (event) => this.clicked(event));
    this.form.addEventListener("submit", (event) => this.submitted(event), true);
    this.keys = (event) => this.key(event);
    document.addEventListener("keydown", this.keys);
    this.addEventListener("htmx:after:request", (event) => this.responded(event));
    this.addEventListener("htmx:after:swap", (event) => this.swapped(event));
    addEventListener("pagehide", () => this.keeping && this.keep());
    for (const name of ["htmx:error", "htmx:response:error"]) this.addEventListener(name, (event) => this.failed(event));
    if ("merging" in this.dataset) merging(this);
    this.remember();
    this.variables.show(variablesIn(this.rows.texts));
    this.shots();
  }

  disconnectedCallback() {
    document.removeEventListener("keydown", this.keys);
  }

  say(words) {
    this.querySelector("[data-said]").textContent = words;
  }

  // --- the local draft

  remember() {
    const saved = savedVersion();
    if (saved !== null) return this.wasSaved(saved);
    if ("merging" in this.dataset || "refused" in this.dataset) {
      this.beganWith(this.form.elements.based_on.value);
      this.querySelector("[role=alert]")?.focus();
      return void this.draft.keep(typedIn(this.form));
    }
    const kept = this.draft.read();
    if (!kept || JSON.stringify(kept) === JSON.stringify(typedIn(this.form))) return this.draft.clear();
    const kind = kept.find(([name]) => name === "kind")?.[1];
    if (kind && kind !== this.form.elements.kind?.value) return location.replace(`?kind=${kind}`);
    this.putBack(kept);
  }

  // What was typed while the save was on its way is not in that version. Its draft has no version that it is based on, and
  // is put back on top of the saved one.
  wasSaved(version) {
    const draft = version === 1 ? draftOf(this.dataset.newKey) : this.draft;
    const kept = draft.read();
    for (const done of [draft, this.draft]) done.clear();
    if (!kept || kept.some(([name]) => name === "based_on")) return;
    this.putBack(kept);
    this.draft.keep(typedIn(this.form));
  }

  putBack(kept) {
    this.fillIn(kept);
    this.note.hidden = false;
    this.beganWith(this.form.elements.based_on.value);
  }

  keepSoon() {
    clearTimeout(this.keeping);
    this.keeping = setTimeout(() => this.keep(), 250);
  }

  keepNoMore() {
    clearTimeout(this.keeping);
    this.keeping = null;
  }

  keep() {
    this.keepNoMore();
    const settled = ([name, value]) => name === "based_on" || (name === "note" && value === this.saved.get("note"));
    const entries = typedIn(this.form);
    const kept = this.draft.keep(this.saved ? entries.filter((entry) => !settled(entry)) : entries);
    if (!kept && !this.warned) toast("This is too much for the browser's own copy: it will not survive a reload. Save it.");
    this.warned = !kept;
  }

  // The bar above says what others have saved since this version.
  beganWith(number) {
    const news = document.getElementById("prompt-news");
    const address = news?.getAttribute("hx-get").replace(/seen=\d+/, `seen=${number}`);
    if (!address || address === news.getAttribute("hx-get")) return;
    news.setAttribute("hx-get", address);
    htmx.ajax("GET", address, { source: news, target: news });
  }

  fillIn(kept) {
    const all = (name) => kept.filter(([key]) => key === name).map(([, value]) => value);
    const texts = all("content");
    this.rows.replace(all("role").map((role, at) => [role, texts[at] ?? ""]));
    this.variables.included = kept.map(([name]) => name).filter((name) => name.startsWith("type:")).map((name) => name.slice(5));
    this.variables.show(variablesIn(this.rows.texts));
    for (const [name, value] of kept) {
      if (name === "role" || name === "content") continue;
      const field = this.form.elements[name];
      if (field) field.value = value;
    }
    this.variables.describe();
  }

  typed(field) {
    if (field?.closest?.("#values-form") && field.name !== "count_with") return this.later();
    if (field?.getAttribute?.("aria-invalid")) {
      field.removeAttribute("aria-invalid");
      field.closest(".field")?.querySelector(".error")?.remove();
    }
    this.keepSoon();
    this.variables.show(variablesIn(this.rows.texts));
    this.shots();
    this.later();
  }

  later() {
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.preview(), REST);
  }

  preview() {
    clearTimeout(this.resting);
    if (this.length <= Number(this.dataset.most)) this.dispatchEvent(new CustomEvent("draft-changed"));
  }

  // How examples are chosen matters only when there are any, and each way has its own number.
  shots() {
    const { examples, shots_how: how } = this.form.elements;
    for (const name of ["how", "count", "seed", "budget"]) {
      const used = examples.value && { seed: how.value === "random", budget: how.value === "budget" }[name] !== false;
      this.form.elements[`shots_${name}`].closest(".field").hidden = !used;
    }
  }

  // --- saving

  get length() {
    return this.rows.texts.reduce((sum, text) => sum + text.length, 0);
  }

  fits() {
    const most = Number(this.dataset.most);
    if (this.length <= most) return true;
    const [limit, has] = [most, this.length].map((number) => number.toLocaleString("en"));
    this.problem(`Not saved. A prompt has at most ${limit} characters; this one has ${has}. Everything is still here: shorten it, or put the long part into a variable or an attached file.`);
    return false;
  }

  submitted(event) {
    this.sent = typedIn(this.form);
    if (this.fits()) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  responded(event) {
    if (event.target !== this.form || event.detail.ctx.response.status >= 300) return;
    this.saved = new Map(this.sent);
    if (JSON.stringify(typedIn(this.form)) !== JSON.stringify(this.sent)) this.keep();
  }

  problem(words) {
    const box = document.createElement("div");
    box.className = "errors";
    box.setAttribute("role", "alert");
    box.tabIndex = -1;
    box.textContent = words;
    this.querySelector("#prompt-problems").replaceChildren(box);
    box.focus();
  }

  failed(event) {
    const status = event.detail.ctx?.response?.raw?.status ?? event.detail.ctx?.response?.status;
    if (event.target !== this.form || [409, 413, 422].includes(status)) return;
    this.problem("Not saved: the server could not be reached or failed to answer. Nothing you typed is lost; try again in a moment.");
  }

  swapped(event) {
    const box = this.querySelector("#prompt-problems .errors");
    if (event.target === this.form && box) {
      box.focus();
      for (const old of this.querySelectorAll(".field > .error")) old.remove();
      for (const item of box.querySelectorAll("[data-field]")) this.mark(item.dataset.field, item.textContent);
    }
    const seen = this.querySelector("[data-included]");
    if (seen && event.target.id === "prompt-preview") {
      this.variables.included = seen.dataset.included.split(" ").filter(Boolean);
      this.variables.show(variablesIn(this.rows.texts));
    }
  }

  mark(name, words) {
    const field = this.form.elements[name];
    if (!field) return;
    field.setAttribute?.("aria-invalid", "true");
    const error = document.createElement("span");
    error.className = "error";
    error.textContent = words;
    field.closest?.(".field")?.append(error);
    for (let around = field.closest?.("details"); around; around = around.parentElement.closest("details")) around.open = true;
  }

  // --- keys and buttons

  key(event) {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey || document.querySelector("dialog[open]")) return;
    if (event.key.toLowerCase() === "s") {
      event.preventDefault();
      this.form.requestSubmit();
    } else if (event.key === "Enter") {
      event.preventDefault();
      this.preview();
    }
  }

  clicked(event) {
    const button = event.target.closest("[data-add], [data-preview], [data-discard]");
    if (!button) return;
    if ("add" in button.dataset) this.rows.add(button.dataset.add, button.dataset.text);
    if ("preview" in button.dataset) this.preview();
    if ("discard" in button.dataset) {
      this.keepNoMore();
      this.draft.clear();
      location.reload();
    }
  }

  kindChosen(event) {
    const written = this.rows.texts.filter((text) => text.trim());
    if (event.target.value === "text" && written.length > 1) {
      this.form.elements.kind.value = "chat";
      return toast("A text prompt is one text. Join the messages or remove some first.");
    }
    const address = new URL(location.href);
    address.searchParams.set("kind", event.target.value);
    const kept = typedIn(this.form).filter(([name]) => name !== "role" && name !== "content");
    const rows = written.length ? written : [""];
    for (const text of rows) kept.push(["role", "user"], ["content", text]);
    this.keepNoMore();
    this.draft.keep(kept);
    location.replace(address);
  }
}

customElements.define("prompt-editor", PromptEditor);

// Enter in a trial value asks for the preview instead of sending that form anywhere.
document.addEventListener("submit", (event) => {
  if (event.target.id !== "values-form") return;
  event.preventDefault();
  event.target.closest("prompt-editor").preview();
});
