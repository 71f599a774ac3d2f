// <data-grid>: a table of any length. Only the windows near the reader are in the page; the rest is empty space of the
// right height, fetched when it comes near and emptied when it is far. A row opens as a conversation; j and k walk on.
class DataGrid extends HTMLElement {
  connectedCallback() {
    this.scroll = this.querySelector(".grid-scroll");
    this.dialog = document.getElementById("row");
    if (!this.scroll) return;
    this.total = Number(this.dataset.total);
    this.size = Number(this.dataset.window);
    const first = this.querySelector("tbody");
    const height = first.rows[0].getBoundingClientRect().height;
    this.observer = new IntersectionObserver((seen) => seen.forEach((entry) => this.near(entry)), { root: this.scroll, rootMargin: "1200px 0px" });
    for (let from = 0; from < this.total; from += this.size) {
      const body = from ? document.createElement("tbody") : first;
      body.dataset.from = from;
      body.dataset.height = height * Math.min(this.size, this.total - from);
      if (from) this.space(body);
      if (from) first.parentElement.append(body);
      this.observer.observe(body);
    }
    this.addEventListener("click", (event) => {
      const row = event.target.closest("tr[data-position]");
      if (row && !event.target.closest("[data-comments]") && !getSelection().toString()) this.open(Number(row.dataset.position));
    });
    this.dialog.onclick = (event) => {
      const step = event.target.closest("[data-step]");
      if (step) this.walk(Number(step.dataset.step));
    };
    this.keys = (event) => {
      if (event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "j") this.walk(1);
      if (event.key === "k") this.walk(-1);
    };
    document.addEventListener("keydown", this.keys);
    const asked = location.hash.match(/^#row-(\d{1,9})$/); // a link to one row
    if (asked && !new URLSearchParams(location.search).has("comment")) this.open(Number(asked[1]));
  }

  disconnectedCallback() {
    this.observer?.disconnect();
    document.removeEventListener("keydown", this.keys);
  }

  space(body) {
    const row = document.createElement("tr");
    const cell = document.createElement("td");
    cell.colSpan = 5;
    cell.className = "grid-space";
    cell.style.height = `${body.dataset.height}px`;
    row.append(cell);
    body.replaceChildren(row);
    delete body.dataset.state;
  }

  async near({ target: body, isIntersecting }) {
    body.dataset.near = isIntersecting ? "yes" : "";
    if (!isIntersecting) {
      if (body.dataset.state === "full" || (body.dataset.from === "0" && body.rows.length > 1)) this.space(body);
      return;
    }
    if (body.dataset.state || body.rows.length > 1) return;
    await new Promise((go) => setTimeout(go, 80)); // someone who drags the bar passes over many windows
    if (!body.dataset.near || body.dataset.state || !body.isConnected) return;
    body.dataset.state = "asked";
    try {
      const response = await fetch(`${this.dataset.rows}&from=${body.dataset.from}`, { headers: { "HX-Request": "true" } });
      if (!response.ok) throw new Error(String(response.status));
      body.innerHTML = await response.text();
      body.dataset.state = "full";
      if (!body.dataset.near) this.space(body);
    } catch {
      this.space(body);
      body.querySelector("td").textContent = "These rows could not be loaded. Scroll away and back to try again.";
    }
  }

  async open(position) {
    const response = await fetch(`${this.dataset.row}${position}/`, { headers: { "HX-Request": "true" } });
    if (!response.ok) return;
    this.position = position;
    this.dialog.innerHTML = await response.text();
    htmx.process(this.dialog);
    if (!this.dialog.open) this.dialog.showModal();
  }

  // To the next row that the filters leave; where it is not loaded, to its neighbour in the file.
  walk(step) {
    if (!this.dialog.open) return this.position === undefined && this.open(Number(this.querySelector("tr[data-position]")?.dataset.position ?? 0));
    const rows = [...this.querySelectorAll("tr[data-position]")];
    const at = rows.findIndex((row) => Number(row.dataset.position) === this.position);
    const next = at < 0 ? null : rows[at + step];
    if (next) {
      next.scrollIntoView({ block: "nearest" });
      this.open(Number(next.dataset.position));
    }
  }
}

customElements.define("data-grid", DataGrid);
