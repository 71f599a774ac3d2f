// <chat-message>: one reply. Its raw text arrives as its text content; while it is unfinished it follows the token log.
// It dispatches "reply:end" when the reply has ended and "reply:quiet" when nothing was heard for a while.
import { show } from "./markdown.js";
import { socket } from "./socket.js";

const QUIET = 8_000;

class ChatMessage extends HTMLElement {
  connectedCallback() {
    if (!this.body) {
      this.text = this.textContent;
      this.sequence = Number(this.dataset.sequence ?? 0);
      this.body = document.createElement("div");
      this.body.className = "md";
      this.replaceChildren(this.body);
      show(this.body, this.text);
    }
    if (this.live) this.follow();
  }

  disconnectedCallback() {
    this.unfollow();
  }

  get live() {
    return this.dataset.state === "queued" || this.dataset.state === "running";
  }

  follow() {
    this.hear = ({ detail }) => detail.generation === this.dataset.generation && this.take(detail);
    socket?.addEventListener("frame", this.hear);
    socket?.subscribe(`generation:${this.dataset.generation}`, () => this.sequence);
    this.wait();
  }

  unfollow() {
    clearTimeout(this.timer);
    if (!this.hear) return;
    socket?.removeEventListener("frame", this.hear);
    socket?.unsubscribe(`generation:${this.dataset.generation}`);
    this.hear = null;
  }

  wait() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.tell("reply:quiet");
      this.wait();
    }, QUIET);
  }

  take(frame) {
    this.wait();
    if (frame.type === "snapshot") {
      this.text = frame.text;
      this.sequence = frame.sequence_number;
    } else if (frame.type === "response.output_text.delta") {
      if (frame.sequence_number <= this.sequence) return;
      if (frame.after !== this.sequence) return this.again();
      this.text += frame.delta;
      this.sequence = frame.sequence_number;
    } else if (frame.type === "response.completed" || frame.type === "response.failed") {
      this.dataset.state = frame.type === "response.failed" ? "failed" : "succeeded";
      this.unfollow();
      this.draw();
      return this.tell("reply:end", frame);
    }
    if (this.dataset.state === "queued" && this.sequence) {
      this.dataset.state = "running";
      this.tell("reply:start");
    }
    this.draw();
  }

  // A gap or an overlap: ask for the whole text.
  again() {
    this.sequence = 0;
    socket.subscribe(`generation:${this.dataset.generation}`, () => this.sequence);
  }

  draw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      show(this.body, this.text);
    });
  }

  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true }));
  }
}

customElements.define("chat-message", ChatMessage);
