// The chat pages: their elements, the two side panes as drawers, the list by keyboard, renaming, taking a chat out as a file,
// turning it into a prompt or examples.
import { fetchHtml } from "./html.js";
import { toast } from "./toast.js";
import "./chat-thread.js";
import "./composer.js";
import "./presence.js";

const page = document.querySelector(".chat");
const wide = matchMedia("(width >= 1200px)");
const root = document.documentElement;

// The panel is a column on a wide screen, remembered; a drawer otherwise. The list is a drawer on a narrow one.
function toggle(name) {
  if (name === "panel" && wide.matches) {
    const closed = root.dataset.chatPanel !== "closed";
    if (closed) root.dataset.chatPanel = "closed";
    else delete root.dataset.chatPanel;
    localStorage.setItem("chat-panel", closed ? "closed" : "");
  } else page.dataset.open = page.dataset.open === name ? "" : name;
  tellButtons();
}

function tellButtons() {
  for (const button of document.querySelectorAll("[data-pane]")) {
    const { pane } = button.dataset;
    const open = pane === "panel" && wide.matches ? root.dataset.chatPanel !== "closed" : page.dataset.open === pane;
    button.setAttribute("aria-expanded", String(open));
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-pane]");
  if (button) return toggle(button.dataset.pane);
  if (page.dataset.open && event.target.matches(".chat-shade")) toggle(page.dataset.open);
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && page.dataset.open) toggle(page.dataset.open);
  const list = event.target.closest?.(".chat-list");
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!list || !step) return;
  const links = [...list.querySelectorAll(".chat-link")];
  const to = links[Math.max(links.indexOf(document.activeElement) + step, 0)];
  if (to) {
    event.preventDefault();
    to.focus();
  }
});

// A name changes in place; the title hears of it from the thread, as everyone else's does.
const rename = document.getElementById("rename");
rename?.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const answer = await fetch(form.action, { method: "POST", body: new FormData(form) }).catch(() => null);
  if (!answer?.ok) return toast("The name was not saved. Try again in a moment.");
  document.querySelector("chat-thread").refresh();
  rename.close();
});

// Turning the branch one looks at into a prompt or a set of examples: a small form, then the new page.
const into = document.getElementById("turn-into");
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-turn-into]");
  if (!button) return;
  const leaf = document.querySelector(`chat-thread[data-chat="${button.dataset.of}"]`).leaf ?? "";
  const content = await fetchHtml(`${button.dataset.turnInto}?at=${leaf}`);
  if (!content) return toast("That did not open: the studio did not answer. Try again in a moment.");
  into.replaceChildren(content);
  into.showModal();
  into.querySelector("input[name=name]")?.select();
});
into?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await fetch(event.target.action, { method: "POST", body: new FormData(event.target) }).catch(() => null);
  if (answer?.redirected) location.href = answer.url;
  else if (answer?.status === 422) {
    into.innerHTML = await answer.text();
    into.querySelector("input[name=name]")?.focus();
  } else toast("Nothing was made: the studio did not answer, or you may not do this here.");
});

for (const link of document.querySelectorAll("a[data-export]")) {
  link.addEventListener("click", () => {
    const url = new URL(link.href);
    url.searchParams.set("at", document.querySelector(`chat-thread[data-chat="${link.dataset.export}"]`).leaf ?? "");
    link.href = url;
  });
}

tellButtons();
wide.addEventListener("change", tellButtons);
