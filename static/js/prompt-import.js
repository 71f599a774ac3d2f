// The import page: a file dropped anywhere is chosen, and one that is too large is refused before it is sent.
const file = document.getElementById("import-file");

if (file) {
  addEventListener("dragover", (event) => event.dataTransfer?.types.includes("Files") && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    file.files = event.dataTransfer.files;
    file.dispatchEvent(new Event("change"));
  });
  file.addEventListener("change", () => {
    const large = file.files[0]?.size > 5 * 2 ** 20;
    file.setCustomValidity(large ? "This file has more than 5 MiB. Split it into several." : "");
    file.reportValidity();
  });
}

// A thousand prompts take some seconds: the button says that it was heard, and a second press does nothing.
for (const form of document.querySelectorAll(".import-prompts, #import-decide")) {
  const status = form.querySelector("[data-busy]");
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "yes";
    status.hidden = false;
  });
  addEventListener("pageshow", () => {
    delete form.dataset.sent;
    status.hidden = true;
  });
}
