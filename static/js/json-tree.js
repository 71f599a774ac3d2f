// <json-tree>: JSON text as a tree that opens on demand, so that thousands of values stay quick. Its text content is the
// JSON (a ``` fence around it is taken off); what is not JSON stays as it is, in a plain block.
// Keys, as in any tree: up, down, right, left, Home, End, Enter or Space; c copies the value, p its path.
import { copyText } from "./copy.js";
import { toast } from "./toast.js";

const PAGE = 100; // children shown at a time
const OPEN = 120; // values that are open to begin with, roughly
const CLIP = 240; // characters of a string before the rest is folded

// A number as it was written: 12345678901234567890 and 1.0 would read differently after JavaScript had them.
class Written {
  constructor(source) {
    this.source = source;
  }
}

function parse(text) {
  const bare = text.trim(); // as jobs/structured.py takes a fence off: in linear time, whatever a model has written
  const line = bare.indexOf("\n");
  const fenced = line > 0 && bare.endsWith("```") && /^```[a-z0-9]*[ \t\r]*$/i.test(bare.slice(0, line));
  return JSON.parse(fenced ? bare.slice(line + 1, -3) : text, (key, value, context) =>
    typeof value === "number" && context?.source && String(value) !== context.source ? new Written(context.source) : value,
  );
}

function write(value) {
  const plain = (key, inner) => (inner instanceof Written ? (JSON.rawJSON?.(inner.source) ?? Number(inner.source)) : inner);
  return JSON.stringify(value, plain, 2);
}

const isBranch = (value) => value !== null && typeof value === "object" && !(value instanceof Written);
const entriesOf = (value) => (Array.isArray(value) ? value.map((inner, index) => [index, inner]) : Object.entries(value));
const step = (key) => (typeof key === "number" ? `[${key}]` : /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`);

function span(name, text) {
  const made = document.createElement("span");
  made.className = name;
  made.textContent = text;
  return made;
}

class JsonTree extends HTMLElement {
  connectedCallback() {
    if (this.tree || this.querySelector(":scope > .json-text")) return;
    this.show(this.textContent);
  }

  // Show another text in place of the present one.
  show(text) {
    let value;
    this.text = text;
    this.tree = null;
    try {
      value = parse(text);
    } catch {
      const plain = document.createElement("pre");
      plain.className = "json-text";
      plain.textContent = text.trim();
      return this.replaceChildren(plain);
    }
    this.nodes = new WeakMap(); // list item -> {key, value, path, open}
    this.tree = document.createElement("ul");
    this.tree.className = "json-tree";
    this.tree.setAttribute("role", "tree");
    this.tree.setAttribute("aria-label", this.getAttribute("aria-label") ?? "JSON");
    const root = this.item(null, value, "$", 1);
    root.tabIndex = 0;
    this.tree.append(root);
    this.tree.addEventListener("click", (event) => this.clicked(event));
    this.tree.addEventListener("keydown", (event) => this.pressed(event));
    this.tree.addEventListener("focusin", (event) => this.focused(event.target.closest("[role=treeitem]")));
    this.tools = this.makeTools();
    this.tree.addEventListener("pointerover", (event) => this.point(event.target.closest("[role=treeitem]")));
    this.replaceChildren(this.tree);
    this.openSome(root);
  }

  // Open from the top, level by level, until about OPEN values are seen.
  openSome(root) {
    let seen = 1;
    const waiting = [root];
    while (waiting.length && seen < OPEN) {
      const item = waiting.shift();
      const { value } = this.nodes.get(item);
      if (!isBranch(value)) continue;
      const count = Object.keys(value).length;
      if (item !== root && seen + count > OPEN) continue;
      this.open(item);
      seen += Math.min(count, PAGE);
      waiting.push(...(item.lastElementChild.matches("ul") ? item.lastElementChild.children : []));
      if (waiting.at(-1)?.matches(".json-more")) waiting.pop();
    }
  }

  item(key, value, path, level) {
    const item = document.createElement("li");
    item.setAttribute("role", "treeitem");
    item.setAttribute("aria-level", level);
    item.tabIndex = -1;
    const row = document.createElement("div");
    row.className = "json-row";
    const branch = isBranch(value) && Object.keys(value).length > 0;
    row.append(span("json-twist", ""));
    if (key !== null) row.append(span(typeof key === "number" ? "json-index" : "json-key", String(key)), span("json-colon", ": "));
    row.append(this.leaf(value));
    item.append(row);
    if (branch) item.setAttribute("aria-expanded", "false");
    this.nodes.set(item, { value, path, level });
    return item;
  }

  leaf(value) {
    if (Array.isArray(value)) return span("json-count", value.length ? `[ ${value.length.toLocaleString()} ]` : "[ ]");
    if (isBranch(value)) {
      const count = Object.keys(value).length;
      return span("json-count", count ? `{ ${count.toLocaleString()} }` : "{ }");
    }
    if (value instanceof Written) return span("json-number", value.source);
    if (typeof value !== "string") return span(`json-${value === null ? "null" : typeof value}`, String(value));
    const shown = span("json-string", JSON.stringify(value.length > CLIP ? value.slice(0, CLIP) : value));
    if (value.length <= CLIP) return shown;
    const whole = document.createElement("span");
    const more = document.createElement("button");
    more.type = "button";
    more.tabIndex = -1;
    more.className = "json-unfold";
    more.textContent = `… ${(value.length - CLIP).toLocaleString()} more characters`;
    whole.append(shown, more);
    return whole;
  }

  open(item) {
    const node = this.nodes.get(item);
    if (item.getAttribute("aria-expanded") !== "false") return;
    item.setAttribute("aria-expanded", "true");
    if (item.lastElementChild.matches("ul")) {
      item.lastElementChild.hidden = false;
      return;
    }
    node.entries = entriesOf(node.value);
    const group = document.createElement("ul");
    group.setAttribute("role", "group");
    item.append(group);
    this.page(item, group);
  }

  // The next PAGE children.
  page(item, group) {
    const { entries, path, level } = this.nodes.get(item);
    const shown = group.childElementCount;
    const next = entries.slice(shown, shown + PAGE);
    group.append(...next.map(([key, value]) => this.item(key, value, path + step(key), level + 1)));
    const left = entries.length - shown - next.length;
    if (!left) return null;
    const more = document.createElement("li");
    more.className = "json-more";
    more.setAttribute("role", "treeitem");
    more.setAttribute("aria-level", level + 1);
    more.tabIndex = -1;
    more.textContent = `Show ${Math.min(left, PAGE).toLocaleString()} more of ${left.toLocaleString()}`;
    group.append(more);
    return more;
  }

  more(last) {
    const group = last.parentElement;
    const before = last.previousElementSibling;
    const held = last.contains(document.activeElement);
    last.remove();
    this.page(group.parentElement, group);
    if (held) this.focusOn(before.nextElementSibling);
  }

  toggle(item) {
    if (item.matches(".json-more")) return this.more(item);
    const expanded = item.getAttribute("aria-expanded");
    if (expanded === "true") {
      item.setAttribute("aria-expanded", "false");
      item.lastElementChild.hidden = true;
    } else if (expanded === "false") this.open(item);
    else item.querySelector(":scope > .json-row .json-unfold")?.click();
  }

  clicked(event) {
    const item = event.target.closest("[role=treeitem]");
    const tool = event.target.closest("[data-copy]");
    if (!item) return;
    this.focusOn(item);
    if (tool) return this.copy(item, tool.dataset.copy);
    if (event.target.matches(".json-unfold")) {
      event.target.previousElementSibling.textContent = JSON.stringify(this.nodes.get(item).value);
      return event.target.remove();
    }
    if (!getSelection()?.toString()) this.toggle(item);
  }

  pressed(event) {
    const item = event.target.closest("[role=treeitem]");
    if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
    const rows = () => [...this.tree.querySelectorAll("[role=treeitem]")].filter((row) => !row.parentElement.closest("[aria-expanded=false]"));
    const expanded = item.getAttribute("aria-expanded");
    const keys = {
      ArrowDown: () => this.focusOn(rows()[rows().indexOf(item) + 1]),
      ArrowUp: () => this.focusOn(rows()[rows().indexOf(item) - 1]),
      ArrowRight: () => (expanded === "true" ? this.focusOn(item.querySelector("[role=treeitem]")) : this.toggle(item)),
      ArrowLeft: () =>
        expanded === "true" ? this.toggle(item) : this.focusOn(item.parentElement.closest("[role=treeitem]")),
      Home: () => this.focusOn(rows()[0]),
      End: () => this.focusOn(rows().at(-1)),
      Enter: () => this.toggle(item),
      " ": () => this.toggle(item),
      c: () => this.copy(item, "value"),
      p: () => this.copy(item, "path"),
    };
    if (!keys[event.key] || event.target.matches("[data-copy]")) return;
    event.preventDefault();
    event.stopPropagation(); // the page's own single keys are not meant here
    keys[event.key]();
  }

  focusOn(item) {
    item?.focus();
  }

  focused(item) {
    this.tree.querySelector("[tabindex='0']")?.setAttribute("tabindex", "-1");
    item.tabIndex = 0;
    this.point(item);
  }

  // The copy buttons stand in one row at a time, the one pointed at: a thousand rows need no two thousand buttons.
  point(item) {
    if (!item || item.matches(".json-more") || this.tools.parentElement === item.firstElementChild) return;
    item.firstElementChild.append(this.tools);
  }

  makeTools() {
    const tools = document.createElement("span");
    tools.className = "json-tools";
    for (const what of ["value", "path"]) {
      const button = document.createElement("button");
      button.type = "button";
      button.tabIndex = -1;
      button.dataset.copy = what;
      button.textContent = `Copy ${what}`;
      tools.append(button);
    }
    return tools;
  }

  async copy(item, what) {
    const node = this.nodes.get(item);
    if (!node) return;
    await copyText(what === "path" ? node.path : typeof node.value === "string" ? node.value : write(node.value));
    toast(what === "path" ? `Copied ${node.path}` : "Copied the value");
  }
}

customElements.define("json-tree", JsonTree);
