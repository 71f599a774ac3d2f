// <file-drop>: choose or drop a file anywhere on it, see how far the upload is, stop it. Without script it is a plain form.
class FileDrop extends HTMLElement {
  connectedCallback() {
    this.form = this.querySelector("form");
    this.input = this.querySelector("input[type=file]");
    this.meter = this.querySelector(".drop-progress");
    this.classList.add("file-drop-live");
    this.input.addEventListener("change", () => this.input.files[0] && this.send(this.input.files[0]));
    this.form.addEventListener("submit", (event) => {
      if (!this.input.files[0]) return;
      event.preventDefault();
      this.send(this.input.files[0]);
    });
    this.querySelector("[data-stop]").addEventListener("click", () => this.request?.abort());
    for (const kind of ["dragenter", "dragover"]) {
      addEventListener(kind, (event) => {
        if (!event.dataTransfer?.types.includes("Files")) return;
        event.preventDefault();
        this.form.classList.add("drop-over");
      });
    }
    addEventListener("dragleave", (event) => event.relatedTarget || this.form.classList.remove("drop-over"));
    addEventListener("drop", (event) => {
      event.preventDefault();
      this.form.classList.remove("drop-over");
      const files = event.dataTransfer?.files ?? [];
      if (files.length > 1) this.say("Drop one file at a time.");
      else if (files[0]) this.send(files[0]);
    });
  }

  send(file) {
    if (this.request) return;
    this.say("");
    if (file.size > Number(this.dataset.max)) {
      this.say(`${file.name} is larger than ${Math.round(Number(this.dataset.max) / 2 ** 20)} MiB, the most that is taken at once. Split it into several files.`);
      return;
    }
    const body = new FormData(this.form);
    body.set("file", file);
    const request = (this.request = new XMLHttpRequest());
    const progress = this.meter.querySelector("progress");
    const said = this.meter.querySelector("[data-said]");
    this.meter.hidden = false;
    request.upload.onprogress = ({ loaded, total }) => {
      progress.value = loaded / total;
      said.textContent = loaded < total ? `${Math.floor((100 * loaded) / total)} %` : "Storing the file…";
    };
    request.onload = () => {
      const target = request.getResponseHeader("HX-Redirect");
      if (target) location.href = target;
      else this.done(request.status === 403 ? "You may not upload here, or you were signed out. Load the page again." : "", request.response);
    };
    request.onerror = () => this.done("The connection broke while the file was sent. Try again.");
    request.onabort = () => this.done("");
    request.open("POST", this.form.action);
    request.setRequestHeader("HX-Request", "true");
    request.send(body);
  }

  done(problem, html) {
    this.request = null;
    this.meter.hidden = true;
    this.input.value = "";
    if (html && !problem) this.querySelector("[data-problem]").innerHTML = html;
    else this.say(problem);
  }

  say(text) {
    const place = this.querySelector("[data-problem]");
    place.replaceChildren();
    if (!text) return;
    const note = document.createElement("div");
    note.className = "note note-bad";
    note.setAttribute("role", "alert");
    note.textContent = text;
    place.append(note);
  }
}

customElements.define("file-drop", FileDrop);
