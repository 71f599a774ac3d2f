// <prompt-library>: the list by keyboard (/ search, j k or arrows move, Enter opens, x chooses, s stars), choosing many, and
// holding still: while someone has chosen prompts or scrolled on, the list is not drawn anew under their hands.
class PromptLibrary extends HTMLElement {
  connectedCallback() {
    this.search = this.querySelector("#prompt-list-search");
    this.addEventListener("change", (event) => this.chosen(event.target));
    this.addEventListener("click", (event) => this.clicked(event));
    this.addEventListener("reset", () => setTimeout(() => this.count()));
    this.addEventListener("keydown", (event) => this.enter(event));
    this.swapped = () => this.count();
    this.keys = (event) => this.key(event);
    document.addEventListener("htmx:after:swap", this.swapped);
    document.addEventListener("keydown", this.keys);
    if (matchMedia("(width < 900px)").matches) this.querySelector(".prompt-list-folders")?.removeAttribute("open");
    this.count();
  }

  disconnectedCallback() {
    document.removeEventListener("htmx:after:swap", this.swapped);
    document.removeEventListener("keydown", this.keys);
  }

  get rows() {
    return [...this.querySelectorAll("tr[data-row]")];
  }

  get at() {
    return this.querySelector("tr.at") ?? document.activeElement?.closest?.("tr[data-row]");
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const typing = event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]");
    if (event.target === this.search && event.key === "ArrowDown") return this.move(1, event);
    if (event.target === this.search && event.key === "Escape") return this.search.blur();
    if (typing) return;
    if (event.key === "/") {
      event.preventDefault();
      this.search.select();
    } else if (event.key === "j" || event.key === "ArrowDown") this.move(1, event);
    else if (event.key === "k" || event.key === "ArrowUp") this.move(-1, event);
    else if (event.key === "x") this.at?.querySelector("input[name=prompt]").click();
    else if (event.key === "s") this.at?.querySelector(".star").click();
  }

  // The row's own link takes the focus, so that Enter opens it as any link.
  move(step, event) {
    const rows = this.rows;
    if (!rows.length) return;
    event.preventDefault();
    const now = rows.indexOf(this.at);
    const next = rows[Math.max(0, Math.min(rows.length - 1, now + step))];
    for (const row of rows) row.classList.toggle("at", row === next);
    next.querySelector(".prompt-list-name a").focus();
    next.scrollIntoView({ block: "nearest" });
  }

  enter(event) {
    const field = event.target.closest("[data-enter]");
    if (!field || event.key !== "Enter") return;
    event.preventDefault();
    this.querySelector(`#do-${field.dataset.enter}`).click();
  }

  clicked(event) {
    const row = event.target.closest("tr[data-row]");
    if (!row || getSelection().toString()) return;
    if (event.target.closest(".prompt-list-tick") && !event.target.matches("input")) row.querySelector("input[name=prompt]").click();
    else if (!event.target.closest("a, button, input, .prompt-list-tick")) row.querySelector(".prompt-list-name a").click();
  }

  chosen(box) {
    if (box.matches("[data-all]")) for (const one of this.querySelectorAll("input[name=prompt]")) one.checked = box.checked;
    if (box.matches("[data-all], input[name=prompt]")) this.count();
  }

  count() {
    const number = this.querySelectorAll("input[name=prompt]:checked").length;
    const said = this.querySelector("[data-chosen]");
    if (said) said.textContent = number === 1 ? "1 prompt chosen" : `${number} prompts chosen`;
    const all = this.querySelector("[data-all]");
    if (all) {
      all.indeterminate = number > 0 && number < this.rows.length;
      all.checked = number > 0 && number === this.rows.length;
    }
    const list = this.querySelector("#prompt-list");
    if (number || this.rows.length > Number(list.dataset.page)) delete list.dataset.refreshOn;
    else list.dataset.refreshOn = "prompt:*";
  }
}

customElements.define("prompt-library", PromptLibrary);
