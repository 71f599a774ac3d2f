// Rows that people put in order: dragged by their handle, or moved a place up or down by keyboard, with Alt and an arrow
// anywhere in a row or with an arrow alone on its handle.
const STEPS = { ArrowUp: -1, ArrowDown: 1 };

export class Reorder {
  // `within` stays while its rows come and go. moved(row) hears of a row that has another place, stuck(step) of one that is
  // first or last already; may() says whether the order can be changed now.
  constructor(within, { rows, handle, moved, stuck = () => {}, may = () => true }) {
    Object.assign(this, { within, rows, handle, moved, stuck, may });
    within.addEventListener("keydown", (event) => this.key(event));
    within.addEventListener("pointerdown", ({ target }) => this.ready(target.closest(handle)?.closest(rows)));
    within.addEventListener("pointerup", () => this.clear());
    within.addEventListener("dragstart", (event) => this.lift(event));
    within.addEventListener("dragover", (event) => this.over(event));
    within.addEventListener("drop", (event) => this.drop(event));
    within.addEventListener("dragend", () => this.clear());
  }

  key(event) {
    const step = STEPS[event.key];
    const row = event.target.closest(this.rows);
    if (!step || !row || event.ctrlKey || event.metaKey || !(event.altKey || event.target.closest(this.handle)) || !this.may()) return;
    event.preventDefault();
    this.move(row, step, event.target);
  }

  move(row, step, focused) {
    const other = step < 0 ? row.previousElementSibling : row.nextElementSibling;
    if (!other) return this.stuck(step);
    if (step < 0) other.before(row);
    else other.after(row);
    focused.focus();
    this.moved(row);
  }

  // A row can be dragged only while its handle is pressed, so that the words in it can be selected.
  ready(row) {
    this.clear();
    if (!row || !this.may()) return;
    this.held = row;
    row.draggable = true;
  }

  lift(event) {
    if (!this.held || event.target !== this.held) return;
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", "");
    this.held.classList.add("row-held");
  }

  over(event) {
    if (!this.held) return;
    const row = event.target.closest(this.rows);
    if (row) {
      const { top, height } = row.getBoundingClientRect();
      this.point(row, event.clientY > top + height / 2);
    }
    if (this.spot) event.preventDefault();
  }

  point(row, after) {
    this.spot?.row.classList.remove("drop-before", "drop-after");
    row.classList.add(after ? "drop-after" : "drop-before");
    this.spot = { row, after };
  }

  drop(event) {
    if (!this.held || !this.spot) return;
    event.preventDefault();
    const { held, spot } = this;
    this.clear();
    if (spot.row === held || !spot.row.isConnected) return;
    spot.row[spot.after ? "after" : "before"](held);
    this.moved(held);
  }

  clear() {
    this.spot?.row.classList.remove("drop-before", "drop-after");
    this.held?.classList.remove("row-held");
    if (this.held) this.held.draggable = false;
    this.held = this.spot = null;
  }
}
