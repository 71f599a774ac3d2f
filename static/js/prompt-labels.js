// The page of a prompt's labels: asks before a label moves away from where it is.
const form = document.querySelector("[data-confirm-move]");
const dialog = document.getElementById("confirm-move");

// What the label points at now is read from the table, which is fresh.
function pointsAt(name) {
  for (const row of document.querySelectorAll("#labels tbody tr")) {
    if (row.querySelector("th .chip")?.textContent.trim() === name) return row.querySelector("td a")?.textContent;
  }
  return "";
}

form?.addEventListener("submit", (event) => {
  const now = pointsAt(form.elements.name.value.trim());
  const version = form.elements.number.selectedOptions[0]?.textContent ?? "";
  if (form.dataset.sure || !now || now === version) return;
  event.preventDefault();
  dialog.querySelector("[data-words]").textContent = `${form.elements.name.value.trim()} points at ${now.toLowerCase()} now. Whatever asks for it gets ${version.toLowerCase()} from then on.`;
  dialog.returnValue = "";
  dialog.showModal();
});

dialog?.addEventListener("close", () => {
  if (dialog.returnValue !== "yes") return;
  form.dataset.sure = "1";
  form.requestSubmit();
});
