// <loss-chart>: training and validation loss of one run, live. It fetches the points after the last it has whenever the
// run changes, so a late reader gets the history first and nothing is asked for twice. Small multiples below share its steps.
import uPlot from "../vendor/uplot-1.6.32.js";
import { socket } from "./socket.js";

const GAP = 1000; // milliseconds between two fetches
const TABLE_ROWS = 200;
const number = (value, digits = 3) => (value == null ? "–" : value.toFixed(digits));
const brief = (value) => (value == null ? "–" : Math.abs(value) < 0.01 && value ? value.toExponential(1) : String(+value.toPrecision(3)));

function colour(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

class LossChart extends HTMLElement {
  connectedCallback() {
    this.train = new Map(); // step -> [step, loss, learning rate, gradient norm, tokens a second, memory]
    this.evals = new Map(); // step -> [step, loss]
    this.weight = 0.6;
    this.logarithmic = false;
    this.place = this.querySelector(".chart");
    this.heard = ({ detail }) => detail.type === "changed" && detail.object === `run:${this.dataset.run}` && this.ask();
    this.back = () => this.ask();
    socket?.addEventListener("frame", this.heard);
    socket?.addEventListener("up", this.back);
    this.resizer = new ResizeObserver(() => this.resize());
    this.resizer.observe(this);
    this.redraw = () => this.draw(true);
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.dark.addEventListener("change", this.redraw);
    this.themed = new MutationObserver(this.redraw);
    this.themed.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    this.fetchPoints();
  }

  disconnectedCallback() {
    socket?.removeEventListener("frame", this.heard);
    socket?.removeEventListener("up", this.back);
    this.resizer.disconnect();
    this.themed.disconnect();
    this.dark.removeEventListener("change", this.redraw);
    clearTimeout(this.timer);
  }

  ask() {
    if (this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      this.fetchPoints();
    }, GAP);
  }

  async fetchPoints() {
    const last = (points) => (points.size ? Math.max(...points.keys()) : -1);
    const after = { train: last(this.train), eval: last(this.evals) };
    try {
      const response = await fetch(`${this.dataset.points}?${new URLSearchParams(after)}`);
      if (!response.ok) return;
      const found = await response.json();
      for (const point of found.train) this.train.set(point[0], point);
      for (const point of found.eval) this.evals.set(point[0], point);
      this.total = found.total;
      if (found.train.length || found.eval.length) this.draw();
      if (found.eval.length) this.dispatchEvent(new CustomEvent("evaluated"));
    } catch {
      if (!("final" in this.dataset)) this.ask();
    }
  }

  smooth(weight) {
    this.weight = weight;
    this.draw();
  }

  scale(logarithmic) {
    this.logarithmic = logarithmic;
    this.draw(true);
  }

  // Steps, raw training loss, the same smoothed (bias-corrected moving average), validation loss.
  columns() {
    const steps = [...new Set([...this.train.keys(), ...this.evals.keys()])].sort((a, b) => a - b);
    let sum = 0;
    let mass = 0;
    const smoothed = steps.map((step) => {
      const loss = this.train.get(step)?.[1];
      if (loss == null) return null;
      sum = sum * this.weight + loss * (1 - this.weight);
      mass = mass * this.weight + (1 - this.weight);
      return sum / mass;
    });
    return [steps, steps.map((step) => this.train.get(step)?.[1] ?? null), smoothed, steps.map((step) => this.evals.get(step)?.[1] ?? null)];
  }

  draw(fresh = false) {
    if (!this.train.size && !this.evals.size) return;
    this.querySelector(".chart-empty").hidden = true;
    this.querySelector(".small-charts").hidden = !this.train.size;
    if (fresh || !this.plot) this.build();
    this.plot.setData(this.columns());
    const steps = [...this.train.keys()].sort((a, b) => a - b);
    this.small.forEach((plot, index) => {
      const divisor = index === 3 ? 1e9 : 1;
      plot.setData([steps, steps.map((step) => (this.train.get(step)[index + 2] ?? null) && this.train.get(step)[index + 2] / divisor)]);
    });
    this.tell();
  }

  build() {
    this.plot?.destroy();
    this.small?.forEach((plot) => plot.destroy());
    const [text, line, accent, warn] = ["text-soft", "line", "accent", "warn"].map(colour);
    const axis = { stroke: text, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui, sans-serif" };
    const x = { time: false, ...(this.total ? { range: (_, low) => [Math.min(low, 0), this.total] } : {}) };
    const paths = uPlot.paths.linear();
    this.plot = new uPlot(
      {
        width: this.clientWidth,
        height: this.height(),
        scales: { x, y: this.logarithmic ? { distr: 3, range: (_, low, high) => [(low || 0.1) / 1.1, (high || 1) * 1.1] } : {} },
        axes: [{ ...axis, label: "Step", labelFont: axis.font, labelSize: 20 }, { ...axis, size: 56, values: (_, ticks) => ticks.map((tick) => (tick == null ? "" : brief(tick))) }],
        series: [
          { label: "Step" },
          { label: "Training", stroke: accent, alpha: 0.3, width: 1, paths, points: { show: false }, value: (_, v) => number(v) },
          { label: "Training, smoothed", stroke: accent, width: 2, paths, points: { show: false }, value: (_, v) => number(v) },
          { label: "Validation", stroke: warn, width: 2, dash: [6, 4], spanGaps: true, paths, points: { show: true, size: 8, fill: warn }, value: (_, v) => number(v) },
        ],
        cursor: { sync: { key: this.dataset.run }, drag: { x: true, y: false } },
      },
      this.columns(),
      this.place,
    );
    this.small = [...this.querySelectorAll("[data-curve]")].map(
      (place) =>
        new uPlot(
          {
            width: place.clientWidth || 240,
            height: 110,
            scales: { x },
            legend: { show: false },
            axes: [{ ...axis, show: false }, { ...axis, size: 54, space: 28, values: (_, ticks) => ticks.map(brief) }],
            series: [{}, { stroke: accent, width: 1.5, points: { show: false } }],
            cursor: { sync: { key: this.dataset.run }, y: false, drag: { x: true, y: false } },
          },
          [[], []],
          place,
        ),
    );
  }

  height() {
    return Math.max(220, Math.min(380, Math.round(this.clientWidth * 0.4)));
  }

  resize() {
    this.plot?.setSize({ width: this.clientWidth, height: this.height() });
    this.small?.forEach((plot) => plot.setSize({ width: plot.root.parentElement.clientWidth, height: 110 }));
  }

  // For those who cannot see the canvas: a sentence, and the figures.
  tell() {
    const steps = [...new Set([...this.train.keys(), ...this.evals.keys()])].sort((a, b) => a - b);
    const first = this.train.get(steps.find((step) => this.train.has(step)))?.[1];
    const last = this.train.get(steps.findLast((step) => this.train.has(step)))?.[1];
    const evals = [...this.evals.values()].sort((a, b) => a[0] - b[0]);
    const measured = evals.length ? ` Validation loss ${number(evals[0][1])}, now ${number(evals.at(-1)[1])}.` : "";
    this.place.setAttribute("aria-label", `Loss by step. Training loss ${number(first)}, now ${number(last)}, at step ${steps.at(-1)}.${measured}`);
    const stride = Math.ceil(steps.length / TABLE_ROWS);
    const rows = steps.filter((step, index) => index % stride === 0 || this.evals.has(step) || index === steps.length - 1);
    const body = this.querySelector(".figures-table tbody");
    body.replaceChildren(
      ...rows.map((step) => {
        const row = document.createElement("tr");
        for (const text of [step.toLocaleString("en"), number(this.train.get(step)?.[1]), number(this.evals.get(step)?.[1]), brief(this.train.get(step)?.[2])]) {
          const cell = document.createElement("td");
          cell.className = "number";
          cell.textContent = text;
          row.append(cell);
        }
        return row;
      }),
    );
  }
}

customElements.define("loss-chart", LossChart);
