// A list of pictures, each of which can be enlarged and kept. It is one Tab stop; arrow keys move from tile to tile.

/** @typedef {import("./server.js").Picture} Picture */

export const titleOf = ({ seed, name }) => (seed === undefined ? name : `Seed ${seed}`);

/** Mark a Keep button with the letter of its kept picture, or "". */
export function mark(button, letter) {
  button.ariaPressed = letter !== "";
  button.dataset.letter = letter;
}

export class Gallery {
  /** @type {Picture[]} */
  pictures = [];
  #current = 0;

  /**
   * @param {HTMLElement} list
   * @param {HTMLTemplateElement} template of a tile
   * @param {{ enlarge: (picture: Picture) => void, keep: (picture: Picture) => void }} actions
   */
  constructor(list, template, actions) {
    Object.assign(this, { list, template, actions });
    list.addEventListener("click", ({ target }) => this.#click(target.closest("button")));
    list.addEventListener("keydown", (event) => this.#press(event));
    list.addEventListener("focusin", ({ target }) => this.#rove(this.#indexOf(target)));
  }

  /**
   * Show pictures; existing tiles are reused, so that focus stays.
   * @param {Picture[]} pictures
   * @param {(picture: Picture) => string} letterOf the letter of a kept picture, or ""
   * @param {number} [places] how many tiles there are; those without a picture are empty
   */
  show(pictures, letterOf, places = pictures.length) {
    const { list } = this;
    const focused = list.contains(document.activeElement);
    while (list.children.length > places) list.lastElementChild.remove();
    while (list.children.length < places) list.append(this.template.content.cloneNode(true));
    this.pictures = pictures;
    [...list.children].forEach((tile, i) => {
      tile.classList.toggle("empty", i >= pictures.length);
      if (i < pictures.length) paint(tile, pictures[i], letterOf(pictures[i]));
    });
    this.#rove(this.#current);
    if (focused && this.#current !== this.#indexOf(document.activeElement)) this.#focus(this.#current);
  }

  #indexOf(element) {
    return [...this.list.children].indexOf(element.closest("li"));
  }

  #focus(index) {
    this.list.children[index]?.querySelector(".view").focus();
  }

  #rove(to) {
    this.#current = Math.max(0, Math.min(this.pictures.length - 1, to));
    [...this.list.children].forEach((tile, i) => {
      for (const button of tile.querySelectorAll("button")) button.tabIndex = i === this.#current ? 0 : -1;
    });
  }

  #click(button) {
    if (!button) return;
    const picture = this.pictures[this.#indexOf(button)];
    if (button.matches(".keep")) this.actions.keep(picture);
    else this.actions.enlarge(picture);
  }

  #press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const columns = getComputedStyle(this.list).gridTemplateColumns.split(" ").length;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    if (event.key.toLowerCase() === "k") this.actions.keep(this.pictures[this.#current]);
    if (!this.pictures[this.#current + step]) return;
    event.preventDefault();
    this.#focus(this.#current + step);
  }
}

function paint(tile, picture, letter) {
  const title = titleOf(picture);
  Object.assign(tile.querySelector("img"), { src: picture.src, alt: title });
  tile.querySelector("span").textContent = picture.name;
  tile.querySelector(".keep").ariaLabel = `Keep ${title}`;
  mark(tile.querySelector(".keep"), letter);
}
