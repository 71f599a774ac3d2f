// Comments on every page: a button [data-comments] opens the panel of its object's threads, ?comment=<id> opens it at that
// comment. The server draws the panel; here it is opened, kept fresh while others write, and the numbers on buttons follow.
import { socket } from "./socket.js";
import "./mentions.js";

const dialog = document.getElementById("comments");
const { team } = document.body.dataset;
const doors = `/t/${team}/comments/`;
let opener;

const body = () => document.getElementById("comments-body");
const draftKey = (form) => `comment:${body().dataset.on}:${form.dataset.draft}`;

// --- the panel ---

async function open(url, button) {
  opener = button ?? opener;
  const before = body();
  if (before.dataset.url !== url || !dialog.open) {
    const waiting = document.createElement("section");
    waiting.id = "comments-body";
    waiting.className = "comments";
    waiting.innerHTML = '<p class="skeleton"></p><p class="skeleton"></p>';
    before.replaceWith(waiting);
  }
  if (!dialog.open) {
    if (document.querySelector("dialog:modal")) dialog.showModal(); // above the one that is open
    else dialog.show();
  }
  await load(url);
  focus();
}

async function load(url, swap = "outerHTML") {
  await htmx.ajax("GET", url, { target: "#comments-body", swap });
  restoreDrafts();
}

function focus() {
  const said = document.getElementById(`comment-${body().dataset.said}`);
  if (said) {
    said.scrollIntoView({ block: "center" });
    said.focus();
  } else if (matchMedia("(hover: hover)").matches) {
    (document.getElementById("say-new-text") ?? body().querySelector("[data-close]"))?.focus();
  } else body().querySelector("[data-close]")?.focus(); // no keyboard that covers half of a small screen
}

function fail(words) {
  const note = document.createElement("p");
  note.className = "comments-failed bad";
  note.setAttribute("role", "alert");
  note.textContent = words;
  const close = document.createElement("button");
  close.type = "button";
  close.className = "button";
  close.dataset.close = "";
  close.textContent = "Close";
  const section = document.createElement("section");
  section.id = "comments-body";
  section.className = "comments";
  section.append(note, close);
  body().replaceWith(section);
}

// What is typed outlives the panel: it is kept in this tab until it is sent.
function restoreDrafts() {
  for (const form of body().querySelectorAll("form[data-draft]")) {
    const box = form.querySelector("textarea");
    const kept = sessionStorage.getItem(draftKey(form));
    if (!kept || box.value) continue;
    box.value = kept;
    const more = form.closest("details");
    if (more) more.open = true;
  }
}

function sent(form) {
  if (form.dataset.draft) sessionStorage.removeItem(draftKey(form));
  form.reset();
  const more = form.closest("details");
  if (more) more.open = false;
}

if (dialog) {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-comments]");
    if (button) open(button.dataset.url, button);
    const filter = event.target.closest("[data-show]");
    if (filter && dialog.contains(filter)) load(filter.dataset.show, "outerMorph");
  });
  dialog.addEventListener("close", () => {
    if (opener?.isConnected) opener.focus();
  });
  dialog.addEventListener("keydown", (event) => {
    const box = event.target.closest("textarea");
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && box) {
      event.preventDefault();
      box.form.requestSubmit();
    } else if (event.key === "Escape" && !event.defaultPrevented && !dialog.matches(":modal")) dialog.close();
  });
  dialog.addEventListener("input", ({ target }) => {
    const { form } = target;
    if (form?.dataset.draft) sessionStorage.setItem(draftKey(form), target.value);
  });
  dialog.addEventListener("reset", ({ target }) => {
    const more = target.closest("details");
    if (more) more.open = false;
  });
  dialog.addEventListener("click", (event) => {
    const more = event.target.closest(".comment-more > summary")?.parentElement;
    if (!more) return;
    event.preventDefault(); // opened here, so that the field has the focus before the next key
    more.open = true;
    more.querySelector("textarea").focus();
  });
  document.addEventListener("htmx:after:request", (event) => {
    const { ctx } = event.detail;
    const target = typeof ctx.target === "string" ? document.querySelector(ctx.target) : ctx.target;
    if (target?.id !== "comments-body") return;
    const { status } = ctx.response;
    const form = ctx.sourceElement?.closest?.("form");
    if (status < 300 && form) sent(form);
    if (form && document.activeElement === document.body) form.querySelector("textarea")?.focus(); // its button was disabled meanwhile
    if (status < 300 || status === 422 || status === 429) return;
    event.preventDefault();
    fail(
      status === 403 ? ctx.text : status === 404 ? "This is gone: someone has deleted it meanwhile." : "The comments could not be loaded. Close this and try again.",
    );
  });
  const wanted = new URLSearchParams(location.search).get("comment");
  if (wanted && /^[0-9a-f-]{36}$/.test(wanted)) open(`${doors}${wanted}/`);
}

// --- what others do ---

const stale = new Map(); // kind -> ids whose buttons are to be counted again
let counting;

function count(kind, id) {
  if (!stale.has(kind)) stale.set(kind, new Set());
  stale.get(kind).add(id);
  counting ??= setTimeout(countAll, 150);
}

async function countAll() {
  counting = null;
  const asked = [...stale];
  stale.clear();
  for (const [kind, ids] of asked) {
    const query = new URLSearchParams([["kind", kind], ...[...ids].slice(0, 200).map((id) => ["id", id])]);
    const response = await fetch(`${doors}counts/?${query}`).catch(() => null);
    if (!response?.ok || response.redirected) continue;
    const { counts } = await response.json();
    for (const id of ids) {
      for (const button of document.querySelectorAll(`[data-comments="${kind}:${CSS.escape(id)}"]`)) {
        const { part } = button.dataset;
        show(button, counts[part === undefined ? id : `${id}:${part}`] ?? 0);
      }
    }
  }
}

function show(button, number) {
  button.querySelector(".comments-count").textContent = number || "";
  button.setAttribute("aria-label", number ? `Comments: ${number} open` : "Comments");
}

function changed(on) {
  const [kind, id] = [on.slice(0, on.indexOf(":")), on.slice(on.indexOf(":") + 1)];
  if (document.querySelector(`[data-comments="${CSS.escape(on)}"]`)) count(kind, id);
  if (dialog.open && body().dataset.on === on) load(body().dataset.url, "outerMorph");
}

if (dialog) {
  socket?.addEventListener("frame", ({ detail }) => {
    if (detail.type === "changed" && detail.object.startsWith("comments:")) changed(detail.object.slice("comments:".length));
  });
  socket?.addEventListener("up", ({ detail }) => {
    if (!detail.again) return;
    for (const on of new Set([...document.querySelectorAll("[data-comments]")].map((button) => button.dataset.comments))) changed(on);
  });
}
