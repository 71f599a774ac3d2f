// The variables beside a prompt's editor: a row for each {{name}} that is written, made and taken away as one types. What was
// said about a variable is remembered while the page is open, so that renaming it back loses nothing.
const NAME = "[A-Za-z_][A-Za-z0-9_.-]{0,63}"; // as in workspace/prompts.py
const TAG = new RegExp(`\\{\\{\\s*(${NAME})\\s*\\}\\}`, "g");

export function variablesIn(texts) {
  return [...new Set(texts.flatMap((text) => [...text.matchAll(TAG)].map((match) => match[1])))];
}

export class VariableRows {
  constructor(list, template, none) {
    Object.assign(this, { list, template, none });
    this.put = new Map(); // name -> row that is out of the page
    this.included = [];
    list.addEventListener("input", () => this.describe());
    this.describe();
  }

  rows() {
    return new Map([...this.list.children].map((row) => [row.dataset.name, row]));
  }

  show(names) {
    const wanted = [...new Set([...names, ...this.included])];
    const now = this.rows();
    for (const [name, row] of now) {
      if (wanted.includes(name)) continue;
      this.put.set(name, row);
      row.remove();
    }
    wanted.forEach((name, at) => {
      const row = now.get(name) ?? this.put.get(name) ?? this.fresh(name);
      if (this.list.children[at] !== row) this.list.insertBefore(row, this.list.children[at] ?? null);
    });
    this.none.hidden = wanted.length > 0;
    this.describe();
  }

  fresh(name) {
    const row = this.template.content.firstElementChild.cloneNode(true);
    row.dataset.name = name;
    row.querySelector("code").textContent = name;
    for (const label of row.querySelectorAll("label")) label.htmlFor += name;
    for (const field of row.querySelectorAll("[name]")) {
      field.name += name;
      field.id += name;
    }
    return row;
  }

  describe() {
    for (const row of this.list.children) {
      const [type, required, fallback] = ["type", "required", "default"].map((part) => row.querySelector(`[name^="${part}:"]`));
      row.dataset.kind = type.value;
      const kind = type.selectedOptions[0].textContent.toLowerCase();
      const rule = fallback.value ? "has a default" : required.value === "yes" ? "required" : "optional";
      row.querySelector(".variable-kind").textContent = `${kind}, ${rule}`;
    }
  }
}
