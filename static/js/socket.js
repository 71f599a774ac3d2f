// The tab's one websocket: reconnects by itself, subscribes again with what each subscriber has seen, and says how it is.
// Events on `socket`: "frame" (detail: the frame), "up" (detail: {again}: something may have been missed), "down", "gone" (detail: {reason}).
const QUIET = 25_000; // the server beats every 10 s; silence for longer means the line is dead
const LATE = 1_000; // a page that was drawn longer ago than this before its line was up may have missed something
const REASONS = {
  4401: "You are signed out. Sign in again to go on; nothing you typed is lost.",
  4403: "You no longer have access to this team, or you were signed out.",
  4404: "This team does not exist, or you are not in it.",
};

const NAMED = 200; // in one frame

function parts(names) {
  return Array.from({ length: Math.ceil(names.length / NAMED) }, (_, index) => names.slice(index * NAMED, (index + 1) * NAMED));
}

class StudioSocket extends EventTarget {
  constructor(team) {
    super();
    this.url = `${location.protocol.replace("http", "ws")}//${location.host}/ws/${team}/`;
    this.subscriptions = new Map(); // name -> function that returns the last sequence number seen
    this.tries = 0;
    this.up = false;
    this.ever = false;
    this.low = false; // whether "down" has been said
    addEventListener("online", () => this.hurry());
    addEventListener("offline", () => this.drop());
    addEventListener("pagehide", () => this.line?.close());
    addEventListener("pageshow", (event) => event.persisted && this.hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.hurry());
    this.connect();
  }

  connect() {
    clearTimeout(this.timer);
    const line = (this.line = new WebSocket(this.url));
    line.onmessage = ({ data }) => {
      this.listen();
      const frame = JSON.parse(data);
      if (frame.type === "hello") this.greeted();
      this.emit("frame", frame);
    };
    line.onclose = ({ code }) => {
      if (this.line !== line) return;
      this.line = null;
      this.fell(code);
    };
    this.listen();
  }

  greeted() {
    this.tries = 0;
    this.up = true;
    this.low = false;
    this.announce([...this.subscriptions.keys()]);
    const [{ responseStart }] = performance.getEntriesByType("navigation");
    this.emit("up", { again: this.ever || performance.now() - responseStart > LATE });
    this.ever = true;
  }

  fell(code) {
    clearTimeout(this.watch);
    this.up = false;
    if (!this.low) this.emit("down"); // once, also for a line that has never been up
    this.low = true;
    if (REASONS[code]) return this.emit("gone", { reason: REASONS[code] });
    const most = navigator.onLine ? 300 * 2 ** this.tries++ : 15_000; // "online" ends that wait
    const wait = Math.min(15_000, most) * (0.5 + Math.random());
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.connect(), wait);
  }

  listen() {
    clearTimeout(this.watch);
    this.watch = setTimeout(() => this.drop(), QUIET);
  }

  drop() {
    const line = this.line;
    this.line = null;
    line?.close();
    this.fell();
  }

  hurry() {
    if (this.line || !this.timer) return;
    this.tries = 0;
    this.connect();
  }

  send(frame) {
    if (!this.up || this.line?.readyState !== WebSocket.OPEN) return false;
    this.line.send(JSON.stringify({ v: 1, ...frame }));
    return true;
  }

  subscribe(to, seen = () => 0) {
    this.subscriptions.set(to, seen);
    this.later(to);
  }

  unsubscribe(to) {
    if (this.subscriptions.delete(to)) this.later(to);
  }

  // What is asked in one turn of the event loop goes out together, so a grid follows its many replies with one frame.
  later(to) {
    if (!this.turned) {
      this.turned = new Set();
      queueMicrotask(() => {
        const names = [...this.turned];
        this.turned = null;
        this.announce(names.filter((name) => this.subscriptions.has(name)));
        const dropped = names.filter((name) => !this.subscriptions.has(name));
        for (const some of parts(dropped)) this.send({ type: "unsubscribe", to: some.length > 1 ? some : some[0] });
      });
    }
    this.turned.add(to);
  }

  announce(names) {
    const replies = names.filter((name) => name.startsWith("generation:"));
    for (const to of names) if (!to.startsWith("generation:")) this.send({ type: "subscribe", to, after: this.subscriptions.get(to)() });
    for (const some of parts(replies)) {
      const seen = Object.fromEntries(some.map((name) => [name, this.subscriptions.get(name)()]));
      if (some.length > 1) this.send({ type: "subscribe", to: some, after: seen });
      else this.send({ type: "subscribe", to: some[0], after: seen[some[0]] });
    }
  }

  emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

const { team, user } = document.body.dataset;

// Pages outside a team have nothing to listen to.
export const socket = team && user ? new StudioSocket(team) : null;
