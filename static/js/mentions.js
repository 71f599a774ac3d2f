// @ in a textarea[data-mentions] offers the team's people: type to narrow, arrows to choose, Enter or Tab to take, Esc to leave.
const { team } = document.body.dataset;
const SHOWN = 6;
let people; // asked for once, when the first @ is typed
let list;
let box;
let at = -1; // where the @ stands
let found = [];
let chosen = 0;

async function everyone() {
  people ??= fetch(`/t/${team}/people/`)
    .then((response) => (response.ok ? response.json() : { people: [] }))
    .then((answer) => answer.people)
    .catch(() => []);
  const known = await people;
  if (!known.length) people = undefined; // ask again at the next @
  return known;
}

async function look(field) {
  const before = field.value.slice(0, field.selectionStart);
  const match = /(?:^|[\s(])@([^\s@]*(?: [^\s@]*)?)$/u.exec(before);
  if (!match) return close();
  const known = await everyone();
  if (document.activeElement !== field) return close();
  const asked = match[1].toLowerCase();
  found = known
    .filter(({ name, email }) => name.toLowerCase().startsWith(asked) || email.toLowerCase().startsWith(asked) || name.toLowerCase().split(/\s+/).some((word) => word.startsWith(asked)))
    .slice(0, SHOWN);
  if (!found.length || found.some(({ handle }) => handle.toLowerCase() + " " === asked)) return close();
  box = field;
  at = before.length - match[1].length - 1;
  chosen = 0;
  draw();
}

function draw() {
  if (!list) {
    list = document.createElement("ul");
    list.id = "mentions";
    list.className = "mentions";
    list.role = "listbox";
    list.ariaLabel = "Team mates";
    list.addEventListener("mousedown", (event) => {
      event.preventDefault(); // the field keeps the focus
      const item = event.target.closest("li");
      if (item) take(Number(item.dataset.index));
    });
  }
  if (list.parentElement !== box.parentElement || list.previousElementSibling !== box) box.after(list);
  list.replaceChildren(
    ...found.map((person, index) => {
      const item = document.createElement("li");
      item.role = "option";
      item.id = `mention-${index}`;
      item.dataset.index = index;
      item.ariaSelected = String(index === chosen);
      const name = document.createElement("b");
      name.textContent = person.name;
      const email = document.createElement("span");
      email.className = "soft small clip";
      email.textContent = person.email;
      item.append(name, email);
      return item;
    }),
  );
  box.setAttribute("aria-autocomplete", "list");
  box.setAttribute("aria-controls", "mentions");
  box.setAttribute("aria-activedescendant", `mention-${chosen}`);
}

function take(index) {
  const end = box.selectionStart;
  const name = `@${found[index].handle} `;
  box.setRangeText(name, at, end, "end");
  box.dispatchEvent(new Event("input", { bubbles: true }));
  close();
}

function close() {
  list?.remove();
  for (const name of ["aria-controls", "aria-activedescendant"]) box?.removeAttribute(name);
  box = undefined;
}

document.addEventListener("input", ({ target }) => target.matches?.("textarea[data-mentions]") && look(target));
document.addEventListener("focusout", ({ target }) => target === box && close());
document.addEventListener(
  "keydown",
  (event) => {
    if (!box || event.target !== box || event.isComposing) return;
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (move) {
      chosen = (chosen + move + found.length) % found.length;
      draw();
    } else if ((event.key === "Enter" && !event.ctrlKey && !event.metaKey) || event.key === "Tab") take(chosen);
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  },
  true,
);
