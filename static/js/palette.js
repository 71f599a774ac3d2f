// The command palette: every link in the rail, every named action on the page, rooms that the rail has no place for; filtered
// as one types.
const dialog = document.getElementById("palette");
let commands = [];
let chosen = 0;

function collect() {
  const found = [];
  for (const link of document.querySelectorAll(".rail a[href]")) {
    found.push({ name: link.textContent.trim().replace(/\s+/g, " "), run: () => (location.href = link.href) });
  }
  for (const element of document.querySelectorAll("[data-command]")) {
    found.push({ name: element.dataset.command, run: () => element.click() });
  }
  for (const element of document.querySelectorAll(".bar-actions :is(a, button):not([data-command])")) {
    const name = element.textContent.trim() || element.getAttribute("aria-label");
    if (name) found.push({ name, run: () => element.click() });
  }
  for (const link of document.querySelectorAll("[data-go]")) {
    found.push({ name: link.dataset.go || link.textContent.trim(), run: () => (location.href = link.href) });
  }
  const names = new Set();
  return found.filter(({ name }) => !names.has(name) && names.add(name));
}

function matching(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return commands.filter((command) => words.every((word) => command.name.toLowerCase().includes(word))).slice(0, 12);
}

function draw(list, input) {
  const found = matching(input.value);
  chosen = Math.max(0, Math.min(chosen, found.length - 1));
  list.replaceChildren(
    ...found.map((command, index) => {
      const item = document.createElement("li");
      item.role = "option";
      item.id = `palette-${index}`;
      item.ariaSelected = String(index === chosen);
      item.textContent = command.name;
      item.addEventListener("click", () => run(command));
      return item;
    }),
  );
  input.setAttribute("aria-activedescendant", found.length ? `palette-${chosen}` : "");
}

function run(command) {
  dialog.close();
  command?.run();
}

export function openPalette() {
  if (!dialog || dialog.open) return;
  commands = collect();
  chosen = 0;
  const input = document.createElement("input");
  input.type = "text";
  input.placeholder = "Go to or do…";
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-expanded", "true");
  input.setAttribute("aria-controls", "palette-list");
  input.setAttribute("aria-label", "Go to or do");
  const list = document.createElement("ul");
  list.id = "palette-list";
  list.role = "listbox";
  list.ariaLabel = "Matches";
  input.addEventListener("input", () => {
    chosen = 0;
    draw(list, input);
  });
  input.addEventListener("keydown", (event) => {
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (move) {
      event.preventDefault();
      chosen += move;
      draw(list, input);
    } else if (event.key === "Enter") {
      event.preventDefault();
      run(matching(input.value)[chosen]);
    }
  });
  dialog.replaceChildren(input, list);
  draw(list, input);
  dialog.showModal();
  input.focus();
}
