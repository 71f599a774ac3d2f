// What goes with the next message: files, a prompt, examples. They wait on the server, so a reload or another device keeps
// them; this draws the server's list, sends files there, and says when they are more than the model can read.

const LARGEST = 20 * 2 ** 20;

export const csrf = () => JSON.parse(document.body.getAttribute("hx-headers:inherited"))["X-CSRFToken"];
export const post = (url, body, headers = {}) =>
  fetch(url, { method: "POST", body, headers: { "X-CSRFToken": csrf(), "X-Fragment": "1", ...headers } }).catch(() => null);
const form = (fields) => {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) body.set(name, value);
  return body;
};

export class Shelf {
  constructor(composer) {
    this.composer = composer;
    this.list = composer.querySelector(".shelf");
    this.over = composer.querySelector(".shelf-over");
    this.input = composer.querySelector("input[type=file]");
    composer.querySelector("[data-attach]")?.addEventListener("click", () => this.input.click());
    this.input.addEventListener("change", () => {
      this.upload([...this.input.files]);
      this.input.value = "";
    });
    for (const place of [this.list, this.over]) place?.addEventListener("click", (event) => this.click(event));
    composer.box.addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (!files.length) return;
      event.preventDefault();
      this.upload(files);
    });
    this.dropping();
    // Leaving now would break off a file on its way; the browser asks first.
    addEventListener("beforeunload", (event) => this.reading && event.preventDefault());
  }

  // A file may be dropped anywhere on the conversation.
  dropping() {
    const place = document.querySelector(".chat-main");
    const carries = (event) => event.dataTransfer?.types.includes("Files");
    for (const kind of ["dragenter", "dragover"])
      place.addEventListener(kind, (event) => {
        if (!carries(event)) return;
        event.preventDefault();
        place.classList.add("drop-here");
      });
    place.addEventListener("dragleave", (event) => place.contains(event.relatedTarget) || place.classList.remove("drop-here"));
    place.addEventListener("drop", (event) => {
      if (!carries(event)) return;
      event.preventDefault();
      place.classList.remove("drop-here");
      this.upload([...event.dataTransfer.files]);
    });
  }

  get items() {
    return [...this.list.querySelectorAll("[data-attachment]")];
  }

  get ids() {
    return this.items.map((item) => item.dataset.attachment);
  }

  get tokens() {
    return this.items.reduce((sum, item) => sum + Number(item.dataset.tokens), 0);
  }

  get reading() {
    return this.list.querySelector(".attached-reading") !== null;
  }

  async upload(files) {
    const url = await this.composer.filesUrl(); // on the page of a new chat this opens one first
    if (!url) return;
    for (const file of files) {
      if (file.size > LARGEST) {
        this.composer.complain(`${file.name} is larger than 20 MB, the most that is read. Split it.`);
        continue;
      }
      const chip = document.createElement("li");
      chip.className = "attached attached-reading";
      chip.textContent = `Reading ${file.name}…`;
      this.list.append(chip);
      await this.take(await post(url, form({ file })), chip);
    }
    await this.composer.filesDone?.();
  }

  async again(id) {
    await this.take(await post(await this.composer.filesUrl(), form({ again: id })));
  }

  async refresh() {
    await this.take(await fetch(await this.composer.filesUrl()).catch(() => null));
  }

  async take(answer, chip) {
    chip?.remove();
    const text = answer && !answer.redirected ? await answer.text() : "";
    if (answer?.ok && !answer.redirected) this.draw(text);
    else this.composer.complain(answer?.status === 422 ? text : "That did not work: the studio did not answer, or you may not do this here. Try again in a moment.");
    this.composer.show();
  }

  draw(html) {
    const page = new DOMParser().parseFromString(html, "text/html");
    const reading = [...this.list.querySelectorAll(".attached-reading")];
    this.list.replaceChildren(...[...page.querySelectorAll(".attached")].map((item) => document.adoptNode(item)), ...reading);
    this.composer.show();
  }

  click(event) {
    const button = event.target.closest("[data-shelf]");
    if (!button) return;
    const item = button.closest("[data-attachment]") ?? this.largest();
    if (!item) return;
    const { shelf: act } = button.dataset;
    const fields = act === "cut" ? { do: act, room: Math.max(0, this.roomFor(item)) } : { do: act };
    this.act(item, fields);
  }

  async act(item, fields) {
    await this.take(await post(item.dataset.url, form(fields)));
    this.composer.box.focus();
  }

  largest() {
    return this.items.sort((a, b) => b.dataset.tokens - a.dataset.tokens)[0];
  }

  // Tokens that this file may have so that all fits, with some room for the answer.
  roomFor(item) {
    const answer = Math.min(512, Math.floor(this.composer.left / 4));
    return Number(item.dataset.tokens) + this.composer.rest - answer;
  }

  // Says what is too much before it is sent.
  weigh(rest) {
    if (!this.over) return;
    const item = rest < 0 ? this.largest() : null;
    this.over.hidden = !item;
    if (!item) return;
    const room = this.roomFor(item);
    const file = item.dataset.kind === "file";
    const words = `${item.dataset.name} has about ${Number(item.dataset.tokens).toLocaleString()} tokens; `;
    this.over.querySelector("span").textContent = words + (room >= 50 ? `there is room for about ${room.toLocaleString()} here.` : "there is no room for it here.");
    this.over.querySelector("[data-shelf=cut]").hidden = !file || room < 50;
  }
}
