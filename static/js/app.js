// The frame's behaviour on every page: theme, rail, drawer, dialogs, menus, copy buttons, toasts, palette.
// Page behaviour is in custom elements, imported by the page that uses them.
import { copyText } from "./copy.js";
import { openPalette } from "./palette.js";
import "./bell.js";
import "./comments.js";
import "./live.js";
import "./presence.js";
import { toast } from "./toast.js";

const root = document.documentElement;
const frame = document.getElementById("frame");

const actions = {
  theme() {
    const order = ["", "light", "dark"];
    const next = order[(order.indexOf(root.dataset.theme ?? "") + 1) % order.length];
    if (next) root.dataset.theme = next;
    else delete root.dataset.theme;
    localStorage.setItem("theme", next);
    nameTheme();
  },
  rail() {
    const small = root.dataset.railSize === "small";
    if (small) delete root.dataset.railSize;
    else root.dataset.railSize = "small";
    localStorage.setItem("rail", small ? "" : "small");
  },
  drawer(button) {
    const open = frame.dataset.rail === "open";
    frame.dataset.rail = open ? "" : "open";
    button.setAttribute("aria-expanded", String(!open));
  },
};

function nameTheme() {
  for (const name of document.querySelectorAll("[data-theme-name]")) name.textContent = root.dataset.theme || "system";
}

async function copy(button) {
  const from = button.dataset.copy ?? document.getElementById(button.dataset.copyFrom)?.textContent ?? "";
  await copyText(from.trim());
  toast("Copied.");
}

document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-action], [data-dialog], [data-close], [data-copy], [data-copy-from]");
  if (frame?.dataset.rail === "open" && !event.target.closest(".rail, .rail-toggle")) frame.dataset.rail = "";
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  if (!target) return;
  if (target.dataset.action) actions[target.dataset.action]?.(target);
  if (target.dataset.dialog) document.getElementById(target.dataset.dialog)?.showModal();
  if ("close" in target.dataset) target.closest("dialog")?.close();
  if ("copy" in target.dataset || "copyFrom" in target.dataset) copy(target);
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  const mod = event.ctrlKey || event.metaKey;
  if (mod && event.key.toLowerCase() === "k") {
    event.preventDefault();
    openPalette();
  } else if (mod && event.shiftKey && event.key.toLowerCase() === "s") {
    event.preventDefault();
    actions.rail();
  } else if (mod && event.shiftKey && event.key.toLowerCase() === "o") {
    const fresh = document.querySelector("[data-new-chat]");
    if (fresh) {
      event.preventDefault();
      fresh.click();
    } else if (document.body.dataset.team) {
      event.preventDefault();
      location.href = `/t/${document.body.dataset.team}/chat/`;
    }
  } else if (event.key === "?" && !typing && !mod) {
    document.getElementById("keys-help")?.showModal();
  } else if (event.key === "Escape") {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
    if (frame) frame.dataset.rail = "";
  }
});

// A press beside a dialog closes it; a selection of its words that ends out there does not.
let pressed;
document.addEventListener("pointerdown", ({ target }) => (pressed = target));
document.addEventListener("click", ({ target }) => {
  if (target === pressed && target.matches("dialog:modal")) target.close();
});

// A narrow screen may not have room for all tabs: the one in use is the one to see.
for (const tab of document.querySelectorAll(".tabs [aria-current]")) tab.parentElement.scrollLeft = tab.offsetLeft - 80;

for (const shown of document.querySelectorAll("[data-toast]")) setTimeout(() => shown.remove(), 6000);

// A dialog that comes as a fragment opens by itself, and goes when it is closed.
function openNew() {
  for (const dialog of document.querySelectorAll("dialog[data-open-once]:not([open])")) {
    dialog.addEventListener("close", () => dialog.remove());
    dialog.showModal();
  }
}

document.addEventListener("htmx:after:swap", openNew);

// Times are sent in UTC; people read their own.
function localTimes(scope) {
  for (const time of scope.querySelectorAll("time[datetime]:not([title])")) {
    time.title = new Date(time.dateTime).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  }
}

document.addEventListener("htmx:after:swap", () => localTimes(document));
localTimes(document);
nameTheme();
