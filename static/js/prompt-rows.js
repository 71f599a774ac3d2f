// The messages of a prompt's editor as rows: add, remove with undo, reorder by mouse (the grip) and by keyboard (Alt and arrows).
import { toast } from "./toast.js";

export class MessageRows {
  constructor(list, template, changed, said) {
    Object.assign(this, { list, template, changed, said });
    list.addEventListener("click", (event) => this.act(event.target.closest("[data-act]")));
    list.addEventListener("change", (event) => {
      if (event.target.name === "role") event.target.closest("li").dataset.role = event.target.value;
    });
    list.addEventListener("keydown", (event) => {
      const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (!event.altKey || !step || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      this.move(event.target.closest("li"), step, event.target);
    });
    list.addEventListener("dragstart", (event) => this.drag(event));
    list.addEventListener("dragover", (event) => this.over(event));
    list.addEventListener("drop", (event) => this.drop(event));
    list.addEventListener("dragend", () => this.clear());
  }

  get texts() {
    return [...this.list.querySelectorAll('textarea[name="content"]')].map((box) => box.value);
  }

  make(role, text = "") {
    const row = this.template.content.firstElementChild.cloneNode(true);
    const select = row.querySelector('select[name="role"]');
    if (select) {
      if (role === "") select.append(new Option("Left out", ""));
      select.value = role;
    }
    row.dataset.role = role;
    row.querySelector('textarea[name="content"]').value = text;
    return row;
  }

  add(role, text) {
    const row = this.make(role, text);
    this.list.append(row);
    row.querySelector('textarea[name="content"]').focus();
    this.changed();
  }

  replace(pairs) {
    this.list.replaceChildren(...pairs.map(([role, text]) => this.make(role, text)));
  }

  act(button) {
    if (!button) return;
    const row = button.closest("li");
    if (button.dataset.act === "remove") return this.remove(row);
    return this.move(row, button.dataset.act === "up" ? -1 : 1, button);
  }

  move(row, step, focused) {
    const other = step < 0 ? row.previousElementSibling : row.nextElementSibling;
    if (!other) return this.said(step < 0 ? "This is the first message." : "This is the last message.");
    if (step < 0) other.before(row);
    else other.after(row);
    focused.focus();
    this.tell(row);
  }

  tell(row) {
    this.said(`Message ${[...this.list.children].indexOf(row) + 1} of ${this.list.children.length}.`);
    this.changed();
  }

  remove(row) {
    const next = row.nextElementSibling;
    const to = next ?? row.previousElementSibling;
    row.remove();
    (to?.querySelector("textarea") ?? this.list.parentElement.querySelector("[data-add]"))?.focus();
    this.changed();
    toast("Message removed.", {
      label: "Undo",
      run: () => {
        this.list.insertBefore(row, next?.isConnected ? next : null);
        this.changed();
      },
    });
  }

  drag(event) {
    const grip = event.target.closest?.(".grip");
    if (!grip) return;
    this.held = grip.closest("li");
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", "");
    event.dataTransfer.setDragImage(this.held, 12, 12);
    this.held.classList.add("dragging");
  }

  over(event) {
    const row = this.held && event.target.closest("li.message-row");
    if (!row) return;
    event.preventDefault();
    const { top, height } = row.getBoundingClientRect();
    const after = event.clientY > top + height / 2;
    this.mark();
    row.classList.add(after ? "drop-after" : "drop-before");
    this.spot = { row, after };
  }

  drop(event) {
    if (!this.held || !this.spot) return;
    event.preventDefault();
    const { row, after } = this.spot;
    if (row !== this.held) row[after ? "after" : "before"](this.held);
    this.tell(this.held);
    this.clear();
  }

  mark() {
    for (const row of this.list.children) row.classList.remove("drop-before", "drop-after");
  }

  clear() {
    this.mark();
    this.held?.classList.remove("dragging");
    this.held = this.spot = null;
  }
}
