// One column of a grid at a time, where the screen is narrow: chosen from a list, or by a swipe.
export class OneColumn {
  constructor(sheet) {
    this.sheet = sheet;
    this.place = 0;
    this.pick = sheet.querySelector("[data-pick-column]");
    this.pick.addEventListener("change", () => this.show(Number(this.pick.value)));
    this.swipes();
  }

  get heads() {
    return [...this.sheet.querySelectorAll(".sheet-head")];
  }

  // Finds the columns that are in the table now.
  find() {
    const { heads } = this;
    this.pick.replaceChildren(...heads.map((head, index) => new Option(`${index + 1} of ${heads.length}: ${head.dataset.name ?? `Answer ${index + 1}`}`, index)));
    this.pick.parentElement.hidden = heads.length < 2;
    this.show(this.place);
  }

  show(place) {
    this.place = Math.max(0, Math.min(this.heads.length - 1, place));
    this.pick.value = this.place;
    for (const cell of this.sheet.querySelectorAll("[data-place]")) cell.classList.toggle("off", Number(cell.dataset.place) !== this.place);
  }

  swipes() {
    let from = null;
    this.sheet.addEventListener("touchstart", ({ touches }) => (from = touches.length === 1 ? touches[0] : null), { passive: true });
    this.sheet.addEventListener("touchend", ({ changedTouches: [to] }) => {
      const [x, y] = from ? [to.clientX - from.clientX, to.clientY - from.clientY] : [0, 0];
      from = null;
      if (Math.abs(x) < 60 || Math.abs(x) < 2 * Math.abs(y) || !matchMedia("(width < 800px)").matches) return;
      this.show(this.place + (x < 0 ? 1 : -1));
    }, { passive: true });
  }
}
