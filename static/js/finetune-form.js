// <finetune-form>: says that fields have changed once typing rests, and offers fresh suggestions when base or data change,
// keeping what a person has typed. What is typed is kept in this tab until the run is started.
class FinetuneForm extends HTMLElement {
  connectedCallback() {
    this.form = this.querySelector("form");
    this.touched = new Set(this.constructor.touched);
    this.form.addEventListener("input", (event) => this.changed(event));
    this.form.addEventListener("submit", (event) => {
      if (this.sent) event.preventDefault();
      this.sent = true;
    });
    addEventListener("pageshow", () => (this.sent = false));
  }

  changed({ target }) {
    if (target.name === "row") return;
    clearTimeout(this.timer);
    if (target.name === "base" || target.name === "dataset") {
      this.timer = setTimeout(() => this.suggest(), 50);
      return;
    }
    this.touched.add(target.name);
    this.timer = setTimeout(() => this.dispatchEvent(new CustomEvent("fields-changed")), 300);
  }

  suggest() {
    const data = new FormData(this.form);
    const query = new URLSearchParams({ base: data.get("base") ?? "", dataset: data.get("dataset") ?? "" });
    for (const name of this.touched) if (data.get(name)) query.set(name, data.get(name));
    this.constructor.touched = this.touched;
    htmx.ajax("GET", `${this.dataset.fresh}?${query}`, { source: this, target: this, swap: "outerHTML" });
  }
}

FinetuneForm.touched = new Set();
customElements.define("finetune-form", FinetuneForm);
