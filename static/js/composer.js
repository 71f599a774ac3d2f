// <chat-composer>: where one writes. Enter sends, Shift+Enter breaks the line, Esc stops the answer, ArrowUp in an empty box
// brings back the last message. What is typed is kept in this browser until it has been sent.
// With data-new it is a plain form that starts a chat; otherwise it speaks to every <chat-thread> of the page.
import { socket } from "./socket.js";

class ChatComposer extends HTMLElement {
  connectedCallback() {
    this.form = this.querySelector("form");
    this.box = this.querySelector("textarea");
    this.error = this.querySelector(".composer-error");
    this.send = this.querySelector("[data-send]");
    this.halt = this.querySelector("[data-stop]");
    this.meter = this.querySelector(".composer-meter");
    this.draftName = `draft:${this.dataset.draft}`;
    this.limit = Number(this.dataset.limit);
    if (this.remembered() === this.lastSaid()?.trim()) localStorage.removeItem(this.draftName); // it did arrive
    this.box.value ||= this.remembered();
    this.box.addEventListener("input", () => this.typed());
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.form.addEventListener("submit", (event) => this.submit(event));
    this.halt?.addEventListener("click", () => this.stop());
    document.addEventListener("thread:state", () => this.show());
    document.addEventListener("keydown", (event) => event.key === "Escape" && !document.querySelector("dialog[open]") && this.stop());
    if (matchMedia("(hover: hover)").matches) this.box.focus({ preventScroll: true });
    this.show();
  }

  get threads() {
    return [...document.querySelectorAll("chat-thread")];
  }

  get live() {
    return this.threads.some((thread) => thread.live?.length);
  }

  remembered() {
    return localStorage.getItem(this.draftName) ?? "";
  }

  lastSaid() {
    return [...document.querySelectorAll("chat-thread .turn-mine .said")].at(-1)?.textContent;
  }

  typed() {
    this.complain("");
    if (this.box.value) localStorage.setItem(this.draftName, this.box.value.slice(0, 500_000));
    else localStorage.removeItem(this.draftName);
    const now = Date.now();
    if (this.box.value && now - (this.told ?? 0) > 2500) {
      this.told = now;
      for (const thread of this.threads) socket.send({ type: "typing", chat: thread.dataset.chat });
    }
    this.show();
  }

  show() {
    const { live } = this;
    if (this.halt) {
      const held = document.activeElement === (live ? this.send : this.halt);
      this.halt.hidden = !live;
      this.send.hidden = live;
      if (held) this.box.focus();
    }
    if (!this.meter) return;
    const left = Math.min(...this.threads.map((thread) => Number(thread.list?.dataset.left ?? 0)));
    const rest = left - Math.ceil(this.box.value.length / 4);
    this.meter.textContent = rest >= 0 ? `About ${rest.toLocaleString()} tokens left` : "Longer than this model can read";
    this.meter.classList.toggle("warn", rest < 0);
  }

  key(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.form.requestSubmit();
    } else if (event.key === "ArrowUp" && !this.box.value) {
      const said = this.lastSaid();
      if (!said) return;
      event.preventDefault();
      this.box.value = said;
      this.typed();
    }
  }

  submit(event) {
    const text = this.box.value;
    const wrong = this.wrong(text);
    if (wrong || !("new" in this.dataset)) event.preventDefault();
    if (wrong) return this.complain(wrong);
    if ("new" in this.dataset) {
      this.send.disabled = true; // a second press would be harmless: the form carries the new chat's id
      localStorage.removeItem(this.draftName);
      return;
    }
    this.box.value = "";
    this.show();
    const threads = this.threads;
    let open = threads.length;
    for (const thread of threads) {
      const done = () => --open || this.box.value || localStorage.removeItem(this.draftName);
      const failed = (message) => {
        if (!this.box.value) this.box.value = text;
        this.complain(message);
        this.show();
      };
      thread.say({ text, parent: thread.leaf }, { text, done, failed });
    }
  }

  wrong(text) {
    if (!text.trim()) return "The message is empty. Write something first.";
    if (text.length > this.limit) {
      const [has, most] = [text.length, this.limit].map((number) => number.toLocaleString());
      return `This message has ${has} characters; at most ${most} can be sent at once. Shorten it, or send it in parts.`;
    }
    if (this.live) return "The answer is still being written. Press Esc to stop it, or wait for its end.";
    return "";
  }

  complain(message) {
    this.error.textContent = message;
    this.error.hidden = !message;
    this.box.setAttribute("aria-invalid", String(Boolean(message)));
  }

  stop() {
    for (const thread of this.threads) thread.stop();
  }
}

customElements.define("chat-composer", ChatComposer);
