// <live-people>: who else has this object open, as avatars. <live-typing>: who is writing in this chat.
import { socket } from "./socket.js";

class LivePeople extends HTMLElement {
  connectedCallback() {
    socket?.addEventListener("frame", ({ detail }) => {
      if (detail.type === "presence" && detail.object === this.dataset.object) this.show(detail.people);
    });
  }

  show(people) {
    const others = people.filter((person) => person.id !== document.body.dataset.user);
    this.hidden = others.length === 0;
    this.setAttribute("aria-label", `Also here: ${others.map((person) => person.name).join(", ")}`);
    this.replaceChildren(
      ...others.slice(0, 5).map((person) => {
        const avatar = document.createElement("span");
        avatar.className = "avatar";
        avatar.title = `${person.name} is here`;
        avatar.textContent = person.initials;
        return avatar;
      }),
    );
  }
}

class LiveTyping extends HTMLElement {
  connectedCallback() {
    socket?.addEventListener("frame", ({ detail }) => {
      if (detail.type !== "typing" || detail.chat !== this.dataset.chat) return;
      this.textContent = `${detail.name} is writing…`;
      clearTimeout(this.timer);
      this.timer = setTimeout(() => (this.textContent = ""), 5000);
    });
  }
}

customElements.define("live-people", LivePeople);
customElements.define("live-typing", LiveTyping);
