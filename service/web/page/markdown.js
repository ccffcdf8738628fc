// A model's README.md as elements: headings, paragraphs, lists, tables, code. Whatever else Markdown has stays text.

const INLINE = /(\*\*.+?\*\*|`.+?`|\[.+?\]\(https:\S+?\))/s;

/** @param {string} text @returns {HTMLElement[]} */
export function toElements(text) {
  return text
    .split(/\n\s*\n/)
    .filter((block) => block.trim())
    .map(toElement);
}

function toElement(block) {
  const lines = block.trimEnd().split("\n");
  if (lines.every((line) => /^( {4}|$)/.test(line))) return element("pre", block.trim().replace(/^ {4}/gm, ""));
  if (lines.every((line) => line.startsWith("|"))) return tableOf(lines);
  if (lines.every((line) => line.startsWith("- "))) {
    return element("ul", ...lines.map((line) => element("li", ...inline(line.slice(2)))));
  }
  const [, heading] = /^#+ +(.+)$/.exec(block.trim()) ?? []; // "." takes no line's end
  return heading ? element("h3", ...inline(heading)) : element("p", ...inline(block));
}

/** A table whose first column, and first row if there is anything in it, are headings. */
function tableOf([head, , ...rows]) {
  const cellsOf = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
  const titleOf = (text, scope) => Object.assign(element("th", ...inline(text)), { scope });
  const rowOf = (line, isTitle) =>
    element("tr", ...cellsOf(line).map((text, i) => (text && isTitle(i) ? titleOf(text, isTitle(i)) : element("td", ...inline(text)))));
  const title = /[^|\s]/.test(head) ? [rowOf(head, () => "col")] : [];
  return element("table", ...title, ...rows.map((row) => rowOf(row, (column) => column === 0 && "row")));
}

function inline(text) {
  return text.split(INLINE).map((part, i) => (i % 2 ? marked(part) : part));
}

function marked(part) {
  if (part.startsWith("**")) return element("strong", part.slice(2, -2));
  if (part.startsWith("`")) return element("code", part.slice(1, -1));
  const [, text, href] = /^\[(.+)\]\((.+)\)$/s.exec(part);
  return Object.assign(element("a", text), { href });
}

function element(tag, ...children) {
  const made = document.createElement(tag);
  made.append(...children); // strings become text, never markup
  return made;
}
