// <chat-composer>: where one writes. Enter sends, Shift+Enter breaks the line, Esc stops the answer, ArrowUp in an empty box
// brings back the last message. What is typed is kept in this browser until it has been sent.
// With data-new it is a plain form that starts a chat; otherwise it speaks to every <chat-thread> of the page.
// In it, / fills in a prompt, @ changes who answers and # brings in a file (composer-picker.js); what goes with the message
// waits above the words (composer-shelf.js).
import { Picker } from "./composer-picker.js";
import { post, Shelf } from "./composer-shelf.js";
import { fetchHtml } from "./html.js";
import { socket } from "./socket.js";
import { toast } from "./toast.js";

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
    this.box.value = ("new" in this.dataset && this.box.value) || this.remembered() || this.box.value;
    this.picker = new Picker(this);
    this.shelf = new Shelf(this);
    this.fill = document.getElementById("fill");
    this.fill.addEventListener("submit", (event) => this.filled(event));
    this.box.addEventListener("input", () => this.typed());
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.form.addEventListener("submit", (event) => this.submit(event));
    this.halt?.addEventListener("click", () => this.stop());
    document.addEventListener("thread:state", () => this.show());
    document.addEventListener("keydown", (event) => event.key === "Escape" && !document.querySelector("dialog[open]") && this.stop());
    if (matchMedia("(hover: hover)").matches) this.box.focus({ preventScroll: true });
    this.show();
    const asked = new URLSearchParams(location.search).get("insert");
    if (asked) {
      history.replaceState(null, "", location.pathname);
      this.ask(asked);
    }
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
    this.picker.look();
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
    this.left = Math.min(...this.threads.map((thread) => Number(thread.list?.dataset.left ?? 0)));
    const rest = (this.rest = this.left - this.shelf.tokens - Math.ceil(this.box.value.length / 4));
    this.shelf.weigh(rest);
    this.meter.textContent = rest >= 0 ? `About ${rest.toLocaleString()} tokens left` : "Longer than this model can read";
    this.meter.classList.toggle("warn", rest < 0);
  }

  key(event) {
    if (this.picker.key(event)) return;
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
    this.complain("");
    this.show();
    const threads = this.threads;
    const attached = this.shelf.ids;
    let open = threads.length;
    for (const thread of threads) {
      const done = () => {
        if (--open) return;
        if (!this.box.value) localStorage.removeItem(this.draftName);
        if (attached.length) this.shelf.refresh();
      };
      const failed = (message) => {
        if (!this.box.value) this.box.value = text;
        this.complain(message);
        this.show();
      };
      thread.say({ text, parent: thread.leaf, attached }, { text, done, failed });
    }
  }

  wrong(text) {
    if (!text.trim()) return "The message is empty. Write something first.";
    if (text.length > this.limit) {
      const [has, most] = [text.length, this.limit].map((number) => number.toLocaleString());
      return `This message has ${has} characters; at most ${most} can be sent at once. Shorten it, or send it in parts.`;
    }
    if (this.shelf.reading) return "A file is still being read. Send when it is there.";
    if (this.shelf.items.length && this.rest < 0) return "This is more than the model can read at once. Cut the file to fit, or take it out.";
    if (this.live) return "The answer is still being written. Press Esc to stop it, or wait for its end.";
    return "";
  }

  complain(message) {
    this.error.textContent = message;
    this.error.hidden = !message;
    this.box.setAttribute("aria-invalid", String(Boolean(message)));
  }

  // --- what the picker offers, and what taking it does

  async options({ sign, query }) {
    if (sign === "/") return fetchHtml(`${this.dataset.prompts}?q=${encodeURIComponent(query)}`);
    if (sign === "@") return this.answerers(query);
    const { files } = this.dataset;
    if (files) return fetchHtml(`${files}?files=${encodeURIComponent(query)}`);
    return query ? null : document.getElementById("upload-option").content.cloneNode(true);
  }

  // The same choices as in the panel; a pair has two panels.
  answerers(query) {
    const words = query.toLowerCase();
    const list = document.createElement("ul");
    list.role = "listbox";
    list.ariaLabel = "Who answers";
    const selects = [...document.querySelectorAll("select[name$=answers]")];
    for (const [side, select] of selects.entries()) {
      for (const choice of select.options) {
        const where = selects.length > 1 ? `${["Left", "Right"][side]}: ` : "";
        if (!choice.text.toLowerCase().includes(words)) continue;
        const item = document.createElement("li");
        item.role = "option";
        item.className = "pick";
        item.dataset.answers = choice.value;
        item.dataset.select = select.id;
        const name = document.createElement("span");
        name.className = "clip grow";
        name.textContent = where + choice.text;
        const note = document.createElement("span");
        note.className = "soft small";
        note.textContent = choice.selected ? "answers now" : (choice.closest("optgroup")?.label ?? "");
        item.append(name, note);
        list.append(item);
      }
    }
    if (list.children.length) return list;
    const none = document.createElement("p");
    none.className = "soft small pick-none";
    none.textContent = `No model or adapter matches “${query}”.`;
    return none;
  }

  take({ dataset }) {
    if (dataset.version) this.ask(dataset.version);
    else if ("upload" in dataset) this.shelf.input.click();
    else if (dataset.again) this.shelf.again(dataset.again);
    else if (dataset.answers) this.answerBy(document.getElementById(dataset.select), dataset.answers);
  }

  answerBy(select, key) {
    select.value = key;
    select.dispatchEvent(new Event("change", { bubbles: true })); // the panel saves itself as it changes
    const name = select.selectedOptions[0].text;
    this.box.placeholder = "new" in this.dataset ? this.box.placeholder : `Message ${this.threads.length > 1 ? "both" : name}`;
    toast(`${name} answers from now on.`);
  }

  // Asks for a prompt's variables; one that has none goes in at once.
  async ask(version) {
    const content = await fetchHtml(`${this.dataset.prompts}?version=${version}`);
    if (!content) return this.complain("That prompt could not be opened. It may have been archived; try again.");
    this.fill.replaceChildren(content);
    const form = this.fill.querySelector("form");
    if (!("new" in this.dataset)) form.action = this.dataset.insert;
    if ("nothingToAsk" in form.dataset) return this.insert(form);
    this.fill.showModal();
    this.fill.querySelector("input:not([type=hidden]), textarea, select")?.focus();
  }

  filled(event) {
    event.preventDefault();
    this.insert(event.target);
  }

  async insert(form) {
    const body = new FormData(form);
    const answers = this.form.elements.answers?.value;
    if (answers) body.set("answers", answers);
    const answer = await post(form.action, body);
    if (answer?.status === 422) {
      this.fill.innerHTML = await answer.text();
      if (!("new" in this.dataset)) this.fill.querySelector("form").action = this.dataset.insert;
      if (!this.fill.open) this.fill.showModal();
      return this.fill.querySelector("[aria-invalid=true], .errors")?.focus();
    }
    if (!answer?.ok) return this.complain("The prompt was not inserted: the studio did not answer, or you may not do this here.");
    const done = await answer.json();
    this.fill.close();
    if (done.location) {
      this.moveTo(done.chat, this.box.value ? `${this.box.value.trimEnd()}\n\n${done.text}` : done.text);
      location.href = done.location;
      return;
    }
    this.shelf.draw(done.shelf);
    this.box.focus();
    this.box.setRangeText(done.text, this.box.selectionStart, this.box.selectionEnd, "end");
    this.typed();
    this.picker.close();
    this.picker.said.textContent = done.said;
  }

  // The words typed here become the draft of that chat.
  moveTo(chat, text) {
    localStorage.removeItem(this.draftName);
    if (text) localStorage.setItem(`draft:${chat}`, text);
  }

  // Where files of this chat go. A chat that does not exist yet is opened for the first file.
  async filesUrl() {
    if (this.dataset.files) return this.dataset.files;
    const body = new FormData(this.form);
    body.set("open", "1");
    const answer = await post(this.form.action, body);
    const chat = /\/chat\/([0-9a-f-]{36})\//.exec(answer?.url ?? "")?.[1];
    if (!answer?.ok || !chat) {
      this.complain("The chat could not be opened for the file. Try again in a moment.");
      return null;
    }
    this.opened = { chat, url: answer.url };
    this.dataset.files = `${new URL(answer.url).pathname}files/`;
    return this.dataset.files;
  }

  filesDone() {
    if (!this.opened || !this.shelf.items.length) return;
    this.moveTo(this.opened.chat, this.box.value);
    location.href = this.opened.url;
  }

  stop() {
    for (const thread of this.threads) thread.stop();
  }
}

customElements.define("chat-composer", ChatComposer);
