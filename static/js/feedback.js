// <answer-feedback>: thumbs, reasons and corrections of one answer, wherever it is shown. The server draws it; this sends its
// forms, fetches it again when someone else has an opinion, and turns between the corrected text and the original.
// An ancestor with data-answer gets data-view (corrected, changes or original): its own text is hidden by CSS while another is
// shown. Nothing that is being typed is replaced.
import { show } from "./markdown.js";
import { socket } from "./socket.js";
import { toast } from "./toast.js";

class AnswerFeedback extends HTMLElement {
  connectedCallback() {
    this.hear ??= ({ detail }) => {
      if (detail.type === "changed" && detail.object === `generation:${this.dataset.generation}`) this.refresh();
    };
    socket?.addEventListener("frame", this.hear);
    this.dress();
    if (this.wired) return;
    this.wired = true;
    this.addEventListener("click", (event) => this.click(event));
    this.addEventListener("submit", (event) => this.submit(event));
    this.addEventListener("change", (event) => "submits" in event.target.dataset && event.target.form.requestSubmit());
  }

  disconnectedCallback() {
    socket?.removeEventListener("frame", this.hear);
  }

  get busy() {
    return Boolean(this.querySelector("[data-editing]")) || this.contains(document.activeElement) && document.activeElement.matches("input:not([type=checkbox]), textarea");
  }

  // The corrected text is drawn as the answer was: Markdown, sanitised.
  dress() {
    for (const text of this.querySelectorAll(".correction-text:not(.diff):not(.md)")) {
      const words = text.textContent;
      text.textContent = "";
      text.classList.add("md");
      show(text, words);
    }
    const first = this.querySelector(".correction");
    const pressed = first?.querySelector("[data-view][aria-pressed=true]")?.dataset.view;
    if (!this.querySelector("[data-editing]")) this.view(pressed ?? "original");
    else this.view("original");
  }

  view(name) {
    const answer = this.closest("[data-answer]");
    if (answer) answer.dataset.view = name;
    for (const text of this.querySelectorAll(".correction-text, .correction-use")) text.hidden = name === "original";
    for (const button of this.querySelectorAll("button[data-view]")) button.setAttribute("aria-pressed", String(button.dataset.view === name));
  }

  async refresh() {
    if (this.busy) return;
    await this.load("");
  }

  async load(query, options = {}) {
    const answer = await fetch(options.url ?? this.dataset.url + query, { headers: { "X-Fragment": "1", Accept: "text/html" }, ...options }).catch(() => null);
    if (!answer || answer.redirected || ![200, 422].includes(answer.status)) {
      const text = answer?.status === 403 ? "You may not do this here, or you were signed out. Load the page again." : "That was not saved: the studio did not answer. Try again in a moment.";
      if (options.method) toast(text);
      return false;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("answer-feedback");
    if (fresh) this.take(fresh);
    return answer.ok;
  }

  // Takes over what another rendering of the same says.
  take(fresh) {
    const held = document.activeElement?.closest?.("answer-feedback") === this ? place(document.activeElement) : null;
    const open = this.querySelector(".feedback-why")?.open;
    this.dataset.stamp = fresh.dataset.stamp;
    this.replaceChildren(...document.adoptNode(fresh).childNodes);
    if (open && this.querySelector(".feedback-why")) this.querySelector(".feedback-why").open = true;
    this.dress();
    if (held) this.querySelector(held)?.focus();
  }

  click(event) {
    const button = event.target.closest("[data-feedback], button[data-view]");
    if (!button) return;
    const { feedback, view } = button.dataset;
    if (view) return view === "changes" ? this.changes(button) : this.plain(view, button);
    if (feedback === "edit") {
      event.preventDefault();
      this.edit();
    } else if (feedback === "close") this.load("").then(() => this.querySelector("[data-feedback=edit]")?.focus());
  }

  async edit() {
    await this.load("?edit=1");
    this.querySelector("[data-editing] textarea")?.focus();
  }

  async changes(button) {
    await this.load(`?changes=${button.closest(".correction").dataset.correction}`);
    this.querySelector("[data-view=changes]")?.focus();
  }

  async plain(view, button) {
    if (view === "corrected" && button.closest(".correction").querySelector(".diff")) await this.load("");
    this.view(view);
    this.querySelector(`[data-view=${view}]`)?.focus();
  }

  async submit(event) {
    event.preventDefault();
    const { target: form, submitter } = event;
    const body = new FormData(form);
    if (submitter?.name) body.set(submitter.name, submitter.value);
    const thumb = submitter?.name === "thumb" ? submitter.value : null;
    const ok = await this.load("", { method: "POST", body, url: form.action });
    const why = this.querySelector(".feedback-why");
    if (ok && thumb === "-1" && why) why.open = true;
    if (ok && form.closest(".feedback-why") && why) why.open = false;
    if (ok && form.matches(".feedback-edit")) this.querySelector("[data-feedback=edit]")?.focus();
  }
}

function place(element) {
  if (element.dataset.key) return `[data-key="${element.dataset.key}"]`;
  if (element.type === "checkbox") return `[name="${element.name}"][value="${CSS.escape(element.value)}"]`;
  return null;
}

customElements.define("answer-feedback", AnswerFeedback);
