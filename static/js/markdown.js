// The one renderer of what models say, used while an answer streams and for history. The text is untrusted: HTML in it is
// shown as text, pictures become links (a picture would tell a stranger's server who reads), and all is sanitised after parsing.
import { marked } from "../vendor/marked-18.2.1.js";
import { copyText } from "./copy.js";
import "../vendor/dompurify-3.4.18.js";

const TAGS = "p br hr h1 h2 h3 h4 h5 h6 strong em del code pre blockquote ul ol li a table thead tbody tr th td input".split(" ");
const ATTRIBUTES = ["href", "title", "start", "align", "class", "type", "checked", "disabled"];
const escapes = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const escaped = (text) => text.replace(/[&<>"']/g, (mark) => escapes[mark]);

marked.use({
  gfm: true,
  breaks: true,
  renderer: {
    html: ({ text }) => escaped(text),
    image: ({ href, text }) => `<a href="${escaped(href)}">${escaped(text || href)}</a>`,
  },
});

function fragment(token) {
  const html = marked.parser([token]);
  const clean = DOMPurify.sanitize(html, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ATTRIBUTES,
    ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
    ADD_URI_SAFE_ATTR: ["align", "start", "type"], // these hold no addresses; all others are held to the line above
    RETURN_DOM_FRAGMENT: true,
  });
  finish(clean);
  return clean;
}

function finish(root) {
  for (const link of root.querySelectorAll("a")) {
    if (!link.hasAttribute("href")) {
      link.replaceWith(...link.childNodes); // its address was not one to follow
      continue;
    }
    link.target = "_blank";
    link.rel = "noopener noreferrer";
  }
  for (const box of root.querySelectorAll("input")) box.type === "checkbox" ? (box.disabled = true) : box.remove();
  for (const table of root.querySelectorAll("table")) wrap(table, "md-table").tabIndex = 0; // it may scroll sideways
  for (const pre of root.querySelectorAll("pre")) {
    pre.tabIndex = 0;
    head(wrap(pre, "md-code"), pre);
  }
}

function wrap(element, name) {
  const box = document.createElement("div");
  box.className = name;
  element.replaceWith(box);
  box.append(element);
  return box;
}

function head(box, pre) {
  const bar = document.createElement("div");
  bar.className = "md-code-head";
  const language = document.createElement("span");
  language.textContent = /language-(\S+)/.exec(pre.firstElementChild?.className ?? "")?.[1] ?? "";
  const copy = document.createElement("button");
  copy.type = "button";
  copy.className = "button button-quiet button-small";
  copy.textContent = "Copy";
  copy.dataset.copyCode = "";
  bar.append(language, copy);
  box.prepend(bar);
}

// Shows `text` in `container`. Blocks that have not changed since the last call keep their elements, so a long answer costs
// only its last block per frame, and a selection in what is already there survives.
export function show(container, text) {
  const parsed = marked.lexer(text);
  const links = JSON.stringify(parsed.links);
  const tokens = parsed.filter((token) => token.type !== "space" && token.type !== "def");
  const shown = container.blocks ?? (container.blocks = []);
  tokens.forEach((token, index) => {
    const key = `${token.type} ${token.raw} ${links}`;
    if (shown[index]?.key === key) return;
    const block = document.createElement("div");
    block.className = "md-block";
    block.append(fragment(token));
    if (shown[index]) shown[index].block.replaceWith(block);
    else container.append(block);
    shown[index] = { key, block };
  });
  for (const { block } of shown.splice(tokens.length)) block.remove();
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy-code]");
  if (!button) return;
  await copyText(button.closest(".md-code").querySelector("pre").textContent);
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 1500);
});
