// Keeps a scrolled area at its end while its content grows, but only for a reader who is at the end.
export class Stick {
  constructor(scroller, content, onmove) {
    this.scroller = scroller;
    this.atEnd = true;
    scroller.addEventListener("scroll", () => {
      this.atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 48;
      onmove(this.atEnd);
    }, { passive: true });
    const grown = new ResizeObserver(() => this.atEnd && this.toEnd());
    grown.observe(content);
    grown.observe(scroller);
  }

  toEnd() {
    this.atEnd = true;
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }
}
