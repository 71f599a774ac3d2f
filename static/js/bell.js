// <notice-bell>: how many notifications are unread, in the bar and in the tab's title; live. Opened, it shows the latest.
import { socket } from "./socket.js";

class NoticeBell extends HTMLElement {
  connectedCallback() {
    this.menu = this.querySelector("details");
    this.said = this.querySelector("[role=status]");
    this.show(Number(this.dataset.unread));
    this.menu.addEventListener("toggle", () => this.menu.open && this.load());
    socket?.addEventListener("frame", ({ detail }) => {
      if (detail.type === "changed" && detail.object === `bell:${this.dataset.me}`) this.count();
    });
    socket?.addEventListener("up", ({ detail }) => detail.again && this.count());
  }

  get list() {
    return document.getElementById("bell-list");
  }

  async count() {
    const response = await fetch(this.dataset.count).catch(() => null);
    if (!response?.ok || response.redirected) return;
    const { unread } = await response.json();
    if (unread > this.unread) this.said.textContent = `${unread} unread notification${unread === 1 ? "" : "s"}`;
    this.show(unread);
    if (this.menu.open) this.load();
  }

  show(unread) {
    this.unread = unread;
    this.querySelector(".bell-count").hidden = !unread;
    this.querySelector(".bell-number").textContent = unread > 99 ? "99+" : unread;
    document.title = (unread ? `(${unread}) ` : "") + document.title.replace(/^\(\d+\) /, "");
  }

  async load() {
    this.url ??= this.list.dataset.url;
    await htmx.ajax("GET", this.url, { target: "#bell-list", swap: "outerHTML" });
  }
}

customElements.define("notice-bell", NoticeBell);
