// The answers that one has marked, to be sent to a data set together: each button [data-collect] asks for these.
export class Marks {
  constructor(sheet) {
    this.sheet = sheet;
    this.cells = new Set(); // ids
    this.button = sheet.querySelector("[data-collect]");
  }

  has(cell) {
    return this.cells.has(cell);
  }

  // Shows them on the cells that are in the table now.
  find() {
    for (const td of this.sheet.querySelectorAll("td[data-cell]")) td.toggleAttribute("data-marked", this.has(td.dataset.cell));
  }

  set(cell, on = !this.has(cell)) {
    if (!this.button) return; // who only reads sends nothing
    if (on) this.cells.add(cell);
    else this.cells.delete(cell);
    this.find();
    this.button.hidden = this.cells.size === 0;
    this.button.textContent = `${this.cells.size} marked`;
    for (const button of document.querySelectorAll("[data-collect]")) {
      const address = new URL(button.getAttribute("hx-get"), location);
      address.searchParams.delete("cell");
      for (const id of this.cells) address.searchParams.append("cell", id);
      button.setAttribute("hx-get", address.pathname + address.search);
    }
  }
}
