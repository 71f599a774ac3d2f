// <live-people>: who else has this page open, as avatars. <live-rooms>: which part of the studio colleagues are in, on the
// rail's links. <live-typing>: who is writing in this chat. To be shown one says where one is: that is what subscribing does.
import { socket } from "./socket.js";

const me = document.body.dataset.user;

function avatars(people, most, title) {
  return people.slice(0, most).map((person) => {
    const avatar = document.createElement("span");
    avatar.className = "avatar";
    avatar.title = title(person);
    avatar.textContent = person.initials;
    return avatar;
  });
}

class LivePeople extends HTMLElement {
  connectedCallback() {
    socket?.addEventListener("frame", ({ detail }) => {
      if (detail.type === "presence" && detail.object === this.dataset.object) this.show(detail.people);
    });
    if (socket && !socket.subscriptions.has(this.dataset.object)) socket.subscribe(this.dataset.object);
  }

  show(people) {
    const others = people.filter((person) => person.id !== me);
    this.hidden = others.length === 0;
    this.setAttribute("aria-label", `Also here: ${others.map((person) => person.name).join(", ")}`);
    this.replaceChildren(...avatars(others, 5, (person) => `${person.name} is here`));
    if (others.length > 5) this.append(`+${others.length - 5}`);
  }
}

class LiveRooms extends HTMLElement {
  connectedCallback() {
    socket?.addEventListener("frame", ({ detail }) => {
      if (detail.type === "presence" && detail.object === "room") this.show(detail.people);
    });
    socket?.subscribe(`room:${this.dataset.room}`);
  }

  show(people) {
    const others = people.filter((person) => person.id !== me);
    for (const link of this.querySelectorAll("[data-room]")) {
      link.querySelector(".rail-people")?.remove();
      const here = others.filter((person) => person.room === link.dataset.room);
      if (!here.length) continue;
      const name = link.querySelector(".rail-text").textContent;
      const group = document.createElement("span");
      group.className = "avatars rail-people";
      group.setAttribute("role", "img");
      group.setAttribute("aria-label", here.map((person) => person.name).join(", "));
      group.append(...avatars(here, 3, (person) => `${person.name} is in ${name}`));
      for (const avatar of group.children) { // drawn by CSS: a link's text stays its name
        avatar.dataset.initials = avatar.textContent;
        avatar.textContent = "";
      }
      link.append(group);
    }
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
customElements.define("live-rooms", LiveRooms);
customElements.define("live-typing", LiveTyping);
