// The answers of a grid as they are being written: those in view are followed word by word, all others wait for their row.
import { socket } from "./socket.js";

const SCROLL = 400; // milliseconds: a socket takes only so many frames a second, however fast one scrolls
const LIVE = ["queued", "running"];

export const isLive = (td) => LIVE.includes(td.dataset.state);

export class AnswerStream {
  constructor(sheet) {
    this.sheet = sheet;
    this.cells = new Map(); // generation -> td
    this.visible = new Set(); // td
    this.followed = new Set(); // names that the socket was asked for
    this.grown = new Set(); // td whose text has grown
    this.observer = new IntersectionObserver((seen) => this.seen(seen), { rootMargin: "200px" });
  }

  // Finds the answers that are in the table now.
  find() {
    this.cells.clear();
    for (const td of this.sheet.querySelectorAll("td[data-generation]")) {
      td.sequence ??= Number(td.dataset.sequence);
      td.text ??= td.querySelector(".cell-text")?.textContent ?? "";
      this.cells.set(td.dataset.generation, td);
      this.watch(td);
    }
    for (const td of [...this.visible]) if (!td.isConnected) this.visible.delete(td);
    this.follow();
  }

  watch(td) {
    if (!td.watched) this.observer.observe(td);
    td.watched = true;
  }

  seen(entries) {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) this.visible.add(target);
      else this.visible.delete(target);
    }
    this.scrolled ??= setTimeout(() => {
      this.scrolled = null;
      this.follow();
    }, SCROLL);
  }

  follow() {
    const wanted = new Set([...this.visible].filter(isLive).map((td) => `generation:${td.dataset.generation}`));
    for (const name of this.followed) if (!wanted.has(name)) socket?.unsubscribe(name);
    for (const name of wanted) {
      if (this.followed.has(name) && socket?.subscriptions.has(name)) continue;
      const td = this.cells.get(name.slice("generation:".length));
      socket?.subscribe(name, () => td.sequence);
    }
    this.followed = wanted;
  }

  // What the socket says of one answer.
  take(frame) {
    const td = frame.generation && this.cells.get(frame.generation);
    if (!td || !isLive(td)) return;
    if (frame.type === "snapshot") {
      td.text = frame.text;
      td.sequence = frame.sequence_number;
    } else if (frame.type === "response.output_text.delta") {
      if (frame.sequence_number <= td.sequence) return;
      if (frame.after !== td.sequence) {
        td.sequence = 0; // a gap: ask for the whole text
        return socket.subscribe(`generation:${frame.generation}`, () => td.sequence);
      }
      td.text += frame.delta;
      td.sequence = frame.sequence_number;
    } else if (frame.type === "response.completed" || frame.type === "response.failed") {
      this.sheet.rows.fetch(td.closest("tr"));
    }
    if (td.sequence && td.dataset.state === "queued") this.started(td);
    this.draw(td);
  }

  started(td) {
    td.dataset.state = "running";
    const chip = td.querySelector("[data-queued]");
    const passed = Number(chip?.querySelector("[data-queue-place]")?.textContent);
    if (chip) {
      chip.className = "chip chip-accent";
      chip.textContent = "Running";
      delete chip.dataset.queued;
    }
    if (!passed) return;
    for (const place of this.sheet.querySelectorAll("[data-queue-place]")) {
      if (Number(place.textContent) > passed) place.textContent = Number(place.textContent) - 1;
    }
  }

  draw(td) {
    this.grown.add(td);
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      for (const one of this.grown) {
        const box = one.querySelector(".cell-text");
        if (!box) continue;
        const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 24;
        box.textContent = one.text;
        if (atEnd) box.scrollTop = box.scrollHeight;
      }
      this.grown.clear();
    });
  }
}
