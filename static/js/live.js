// Keeps parts of a page fresh: an element with data-refresh-on="run:<id> chat:*" and hx-get is fetched again when one of
// those objects changes, and whenever the socket has been away. It also shows that the line is down.
import { socket } from "./socket.js";

const GAP = 400; // milliseconds between two fetches of one element
const fetches = new WeakMap(); // element -> {last, timer}
const line = document.getElementById("connection");
let lineTimer;

function concerns(element, object) {
  const kind = object.split(":")[0];
  return element.dataset.refreshOn.split(/\s+/).some((name) => name === object || name === `${kind}:*`);
}

// Nothing that is being typed is overwritten, and nothing that its page holds still: it takes data-refresh-on away meanwhile.
function held(element) {
  const writing = element.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");
  return writing || !("refreshOn" in element.dataset);
}

function refresh(element) {
  if (document.hidden || held(element)) {
    element.dataset.stale = ""; // later
    return;
  }
  const entry = fetches.get(element) ?? { last: 0 };
  if (entry.timer) return;
  entry.timer = setTimeout(() => {
    entry.timer = null;
    entry.last = Date.now();
    if (held(element)) element.dataset.stale = "";
    else if (element.isConnected) htmx.ajax("GET", element.getAttribute("hx-get"), { source: element });
  }, Math.max(0, entry.last + GAP - Date.now()));
  fetches.set(element, entry);
}

// Someone may have begun to write while it was on its way.
document.addEventListener("htmx:before:swap", (event) => {
  const element = event.detail.ctx.sourceElement;
  if (!fetches.has(element) || !held(element)) return;
  event.preventDefault();
  element.dataset.stale = "";
});

export function refreshAll(object) {
  for (const element of document.querySelectorAll("[data-refresh-on]")) {
    if (!object || concerns(element, object)) refresh(element);
  }
}

function catchUp() {
  for (const element of document.querySelectorAll("[data-stale]")) {
    delete element.dataset.stale;
    refresh(element);
  }
}

document.addEventListener("visibilitychange", () => document.hidden || catchUp());
document.addEventListener("focusout", () => setTimeout(catchUp));

socket?.addEventListener("frame", ({ detail }) => {
  if (detail.type === "changed") refreshAll(detail.object);
});
socket?.addEventListener("up", ({ detail }) => {
  clearTimeout(lineTimer);
  line.hidden = true;
  if (detail.again) refreshAll();
});
socket?.addEventListener("down", () => {
  lineTimer = setTimeout(() => {
    line.textContent = "Connection lost. Reconnecting…";
    line.hidden = false;
  }, 1500);
});
socket?.addEventListener("gone", ({ detail }) => {
  clearTimeout(lineTimer);
  line.textContent = detail.reason;
  line.hidden = false;
});
