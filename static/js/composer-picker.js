// What opens in the composer after / (prompts), @ (who answers) and # (files), at the start of the text or after a space.
// Arrows choose, Enter takes, Esc closes; what is typed on narrows the list. It finds the word at the caret and shows options;
// what taking one does is the composer's business: it gets take(option, word).
const WORD = /(?:^|\s)([/@#])([^\s#]*)$/;

export class Picker {
  constructor(composer) {
    this.composer = composer;
    this.box = composer.box;
    this.panel = composer.querySelector(".picker");
    this.said = composer.querySelector(".picker-said");
    this.box.setAttribute("aria-controls", this.panel.id);
    this.panel.addEventListener("mousedown", (event) => event.preventDefault()); // the caret stays in the box
    this.panel.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.take(option);
    });
    this.box.addEventListener("blur", () => setTimeout(() => this.panel.contains(document.activeElement) || this.close()));
    this.box.addEventListener("click", () => this.look());
  }

  get options() {
    return [...this.panel.querySelectorAll("[role=option]")];
  }

  get open() {
    return !this.panel.hidden;
  }

  word() {
    const caret = this.box.selectionStart;
    if (caret !== this.box.selectionEnd) return null;
    const found = WORD.exec(this.box.value.slice(0, caret));
    if (!found) return null;
    const [, sign, query] = found;
    return { sign, query, start: caret - query.length - 1, end: caret };
  }

  // Called whenever the text or the caret has changed.
  async look() {
    const word = this.word();
    if (!word || word.start === this.dismissed) {
      if (!word) this.dismissed = null;
      return this.close();
    }
    this.dismissed = null;
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const content = await this.composer.options(word);
    if (turn !== this.turn || !content) return;
    this.show(content);
  }

  show(content) {
    this.panel.replaceChildren(content);
    this.panel.hidden = false;
    this.options.forEach((option, index) => (option.id = `${this.panel.id}-${index}`));
    this.said.textContent = this.options.length ? `${this.options.length} to choose from` : this.panel.textContent.trim();
    this.mark(0);
  }

  mark(index) {
    const { options } = this;
    this.at = options.length ? (index + options.length) % options.length : -1;
    options.forEach((option, number) => option.setAttribute("aria-selected", String(number === this.at)));
    const chosen = options[this.at];
    if (chosen) this.box.setAttribute("aria-activedescendant", chosen.id);
    else this.box.removeAttribute("aria-activedescendant");
    chosen?.scrollIntoView({ block: "nearest" });
  }

  close() {
    this.turn = (this.turn ?? 0) + 1;
    if (!this.open) return;
    this.panel.hidden = true;
    this.said.textContent = "";
    this.box.removeAttribute("aria-activedescendant");
  }

  // True when the key was meant for the list.
  key(event) {
    if (!this.open || event.isComposing) return false;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) this.mark(this.at + step);
    else if (event.key === "Enter" && !event.shiftKey && this.at >= 0) this.take(this.options[this.at]);
    else if (event.key === "Escape") {
      this.dismissed = this.word()?.start;
      this.close();
    } else return false;
    event.preventDefault();
    event.stopPropagation();
    return true;
  }

  take(option) {
    const word = this.word();
    if (!word) return this.close();
    if (option.dataset.into) return this.replace(word, `/${option.dataset.into}`);
    this.replace(word, "");
    this.close();
    this.composer.take(option);
  }

  replace(word, text) {
    this.box.setRangeText(text, word.start, word.end, "end");
    this.box.focus();
    this.composer.typed();
  }
}
