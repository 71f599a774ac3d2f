// A form in a dialog that came back with errors is shown again at once.
document.querySelector("dialog[data-open-now]")?.showModal();
