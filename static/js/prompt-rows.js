// The messages of a prompt's editor as rows: add, remove with undo, reorder by mouse (the grip) and by keyboard (Alt and arrows).
import { Reorder } from "./reorder.js";
import { toast } from "./toast.js";

export class MessageRows {
  constructor(list, template, changed, said) {
    Object.assign(this, { list, template, changed, said });
    list.addEventListener("click", (event) => this.act(event.target.closest("[data-act]")));
    list.addEventListener("change", (event) => {
      if (event.target.name === "role") event.target.closest("li").dataset.role = event.target.value;
    });
    this.order = new Reorder(list, {
      rows: ".message-row",
      handle: ".grip",
      moved: (row) => this.tell(row),
      stuck: (step) => this.said(step < 0 ? "This is the first message." : "This is the last message."),
    });
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
    return this.order.move(row, button.dataset.act === "up" ? -1 : 1, button);
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
}
