// <chat-thread>: one conversation along one branch. The server renders it; this fetches it again when it changes, keeps the
// elements that are still right (a streaming answer among them), and carries out what the buttons on a message say.
// It dispatches "thread:state" whenever an answer may have started or ended.
import { copyText } from "./copy.js";
import { fetchHtml } from "./html.js";
import { oneAtATime } from "./one-at-a-time.js";
import { socket } from "./socket.js";
import { Stick } from "./stick.js";
import { toast } from "./toast.js";
import "./chat-message.js";
import "./feedback.js";

// crypto.randomUUID exists on https and localhost only; a studio on a local network may be neither.
const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

class ChatThread extends HTMLElement {
  connectedCallback() {
    this.id_ = this.dataset.chat;
    this.list = this.querySelector(".turns");
    this.pending = this.querySelector(".pending");
    this.outbox = new Map(); // client_id -> {frame, item}
    this.halted = []; // stops that wait for the line
    const down = this.querySelector(".to-end");
    this.stick = new Stick(this.querySelector(".thread-scroll"), this.querySelector(".thread-body"), (atEnd) => (down.hidden = atEnd));
    this.at = this.dataset.at; // a link to one message shows its branch
    const there = location.hash.startsWith("#turn-") && document.getElementById(location.hash.slice(1));
    if (there) {
      this.stick.atEnd = false;
      there.scrollIntoView();
    } else this.stick.toEnd();
    down.addEventListener("click", () => this.stick.toEnd());
    this.addEventListener("click", (event) => this.click(event));
    this.addEventListener("reply:start", () => this.refresh());
    this.addEventListener("reply:quiet", () => this.refresh());
    this.addEventListener("reply:end", ({ detail }) => this.ended(detail));
    socket.addEventListener("frame", ({ detail }) => this.take(detail));
    socket.addEventListener("up", ({ detail }) => this.returned(detail.again));
    socket.subscribe(`chat:${this.id_}`);
    this.dress();
  }

  get leaf() {
    return this.list.dataset.leaf || null;
  }

  get live() {
    return [...this.querySelectorAll("chat-message")].filter((message) => message.live);
  }

  // --- frames ---

  take(frame) {
    if (frame.type === "changed" && frame.object === `chat:${this.id_}`) this.refresh();
    else if (frame.type === "response.created" && frame.chat === this.id_) this.created(frame);
    else if (frame.type === "error" && this.outbox.has(frame.client_id)) this.refused(frame);
  }

  returned(again) {
    for (const { frame } of this.outbox.values()) socket.send(frame);
    for (const frame of this.halted.splice(0)) socket.send(frame);
    if (again) this.refresh();
  }

  async created(frame) {
    const sent = this.outbox.get(frame.client_id);
    this.outbox.delete(frame.client_id);
    await this.choose(null);
    // A team mate may have been faster elsewhere; a reader who has meanwhile chosen another branch stays there.
    if (!this.at && !document.getElementById(`turn-${frame.message}`)) await this.choose(frame.message);
    sent?.item?.remove();
    this.stick.toEnd();
    sent?.done?.();
  }

  refused(frame) {
    const sent = this.outbox.get(frame.client_id);
    this.outbox.delete(frame.client_id);
    sent.item?.remove();
    if (sent.failed) sent.failed(frame.message);
    else toast(frame.message);
    this.state();
  }

  ended(frame) {
    const words = frame.type === "response.failed" ? "The answer broke off." : "The answer is complete.";
    document.getElementById("chat-said").textContent = words;
    this.refresh();
  }

  // --- asking ---

  // Sends now, or when the line is back; the server takes each client_id once.
  say(fields, { text, done, failed } = {}) {
    const frame = { type: "send", chat: this.id_, client_id: newId(), ...fields };
    const item = text === undefined ? null : this.showPending(text);
    this.outbox.set(frame.client_id, { frame, item, done, failed });
    const sent = socket.send(frame);
    item?.querySelector(".pending-note").append(sent ? "Sending…" : "Waiting for the connection; it will be sent then.");
    this.stick.toEnd();
    this.state();
  }

  showPending(text) {
    const item = document.getElementById("pending-turn").content.firstElementChild.cloneNode(true);
    item.querySelector(".said").textContent = text;
    this.pending.append(item);
    return item;
  }

  // Now, or as soon as the line is there: an answer that nobody waits for costs the others their turn.
  stop() {
    for (const message of this.live) {
      const frame = { type: "stop", generation: message.dataset.generation };
      if (!socket.send(frame)) this.halted.push(frame);
    }
  }

  // --- showing ---

  // `at` is the message whose branch the reader has chosen; without a choice the page follows the latest branch, whoever made it.
  refresh = oneAtATime(() => this.fetch());

  choose(at) {
    this.at = at;
    return this.refresh();
  }

  async fetch() {
    const page = await fetchHtml(`${this.dataset.url}?at=${this.at ?? ""}`, { Accept: "text/html" });
    const fresh = page?.querySelector(".turns");
    if (fresh) this.merge(fresh);
  }

  merge(fresh) {
    const old = new Map([...this.list.children].map((item) => [item.id, item]));
    const next = [...fresh.children].map((item) => {
      const had = old.get(item.id);
      const keep = had && (had.dataset.stamp === item.dataset.stamp || had.querySelector(".edit"));
      if (!keep) return item;
      this.rated(had.querySelector("answer-feedback"), item.querySelector("answer-feedback"));
      return had;
    });
    const keep = new Set(next);
    for (const item of [...this.list.children]) if (!keep.has(item)) item.remove();
    next.forEach((item, index) => this.list.children[index] === item || this.list.insertBefore(item, this.list.children[index] ?? null));
    Object.assign(this.list.dataset, fresh.dataset);
    htmx.process(this.list); // what a new turn can ask for: keeping it as an example
    this.dress();
  }

  // What people think of an answer changes without the answer.
  rated(shown, fresh) {
    if (shown && fresh && shown.dataset.stamp !== fresh.dataset.stamp && !shown.busy) shown.take(fresh);
  }

  dress() {
    for (const time of this.list.querySelectorAll("time:not([data-clock])")) {
      const when = new Date(time.dateTime);
      time.dataset.clock = "";
      time.textContent = when.toLocaleTimeString(undefined, { timeStyle: "short" });
      time.title = when.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
    }
    if (this === document.querySelector("chat-thread")) document.getElementById("chat-title").textContent = this.list.dataset.title;
    const used = document.getElementById(`used-${this.id_}`);
    if (used) used.textContent = `${this.list.dataset.used} tokens`;
    this.querySelector(".thread-empty").hidden = this.list.children.length > 0 || this.pending.children.length > 0;
    this.state();
  }

  state() {
    this.dispatchEvent(new CustomEvent("thread:state", { bubbles: true }));
  }

  // --- the buttons on a message ---

  click(event) {
    const button = event.target.closest("[data-act]");
    if (!button) return;
    const turn = button.closest(".turn");
    const { act } = button.dataset;
    if (act === "show") this.choose(button.dataset.at);
    else if (act === "copy") this.copy(turn);
    else if (act === "again") this.say({ parent: turn.dataset.parent });
    else if (act === "drop") this.say({ parent: turn.dataset.parent, drop: true });
    else if (act === "continue") this.say({ continue: turn.dataset.message });
    else if (act === "edit") this.edit(turn);
  }

  async copy(turn) {
    const reply = turn.querySelector("chat-message");
    await copyText(reply ? reply.text : turn.querySelector(".said").textContent);
    toast("Copied.");
  }

  // A changed question is a new branch beside the old one; nothing is overwritten.
  edit(turn) {
    const said = turn.querySelector(".said");
    const form = document.getElementById("edit-turn").content.firstElementChild.cloneNode(true);
    const box = form.querySelector("textarea");
    box.value = said.textContent;
    const close = () => {
      form.replaceWith(said);
      turn.querySelector("[data-act=edit]")?.focus();
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const failed = (message) => (form.querySelector(".error").textContent = message);
      if (!box.value.trim()) return failed("The message is empty. Write something first.");
      const attached = [...turn.querySelectorAll("[data-attachment]")].map((one) => one.dataset.attachment);
      this.say({ text: box.value, parent: turn.dataset.parent || null, attached }, { done: () => form.isConnected && close(), failed });
    });
    form.querySelector("[data-cancel]").addEventListener("click", close);
    form.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        close();
      } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        form.requestSubmit();
      }
    });
    said.replaceWith(form);
    box.focus();
    box.setSelectionRange(box.value.length, box.value.length);
  }
}

customElements.define("chat-thread", ChatThread);
