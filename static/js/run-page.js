// The run page: the chart, its tools, and word of a new evaluation to the sample table.
import "./loss-chart.js";

const chart = document.getElementById("chart");
document.getElementById("smoothing").addEventListener("input", (event) => chart.smooth(Number(event.target.value)));
document.getElementById("log-scale").addEventListener("change", (event) => chart.scale(event.target.checked));
chart.addEventListener("evaluated", () => document.body.dispatchEvent(new CustomEvent("run-evaluated")));
const log = document.querySelector(".log");
if (log) log.scrollTop = log.scrollHeight;
document.addEventListener("htmx:after:swap", () => {
  const lines = document.querySelector(".log");
  if (lines) lines.scrollTop = lines.scrollHeight;
});
