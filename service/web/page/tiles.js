// A list of pictures, each of which can be enlarged and marked. It is one Tab stop; arrow keys move from tile to tile.

import { found } from "./drawing.js";
import { lineOf } from "./items.js";

/** @typedef {import("./items.js").Picture} Picture */

export class Tiles {
  /** @type {Picture[]} */
  pictures = [];
  #current = 0;

  /**
   * @param {HTMLElement} list
   * @param {HTMLTemplateElement} template of a tile, with buttons .view and .mark
   * @param {object} actions
   * @param {(picture: Picture) => void} actions.enlarge
   * @param {(picture: Picture) => void} actions.mark
   * @param {(picture: Picture) => { text: string, title: string }} actions.caption
   * @param {(picture: Picture) => { sign: string, name: string }} actions.marked "" where it is not marked, and the button's name
   * @param {Record<string, (picture: Picture) => void>} [actions.keys] further keys
   */
  constructor(list, template, actions) {
    Object.assign(this, { list, template, actions });
    list.addEventListener("click", ({ target }) => this.#click(target.closest("button")));
    list.addEventListener("keydown", (event) => this.#press(event));
    list.addEventListener("focusin", ({ target }) => this.#rove(this.#indexOf(target)));
  }

  /** Show pictures; existing tiles are reused, so that focus stays. @param {Picture[]} pictures */
  show(pictures) {
    const { list } = this;
    const focused = list.contains(document.activeElement);
    while (list.children.length > pictures.length) list.lastElementChild.remove();
    while (list.children.length < pictures.length) list.append(this.template.content.cloneNode(true));
    this.pictures = pictures;
    [...list.children].forEach((tile, i) => this.#paint(tile, pictures[i]));
    this.#rove(this.#current);
    if (focused && this.#current !== this.#indexOf(document.activeElement)) this.#focus(this.#current);
  }

  /** Show again what may have changed: marks, and pictures that are drawn by now. */
  refresh() {
    this.show(this.pictures);
  }

  #paint(tile, picture) {
    const { text, title } = this.actions.caption(picture);
    const { sign, name } = this.actions.marked(picture);
    const [image, mark] = [tile.querySelector("img"), tile.querySelector(".mark")];
    const src = found(picture)?.src;
    tile.dataset.line = lineOf(picture);
    image.alt = title;
    if (src) image.src = src;
    else image.removeAttribute("src");
    tile.classList.toggle("missing", !src);
    tile.querySelector(".name").textContent = text;
    Object.assign(mark, { ariaLabel: name, ariaPressed: `${sign !== ""}` });
    mark.dataset.sign = sign;
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
    if (button.matches(".mark")) this.actions.mark(picture);
    else this.actions.enlarge(picture);
  }

  #press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const columns = getComputedStyle(this.list).gridTemplateColumns.split(" ").length;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    const act = { k: this.actions.mark, ...this.actions.keys }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (act && this.pictures.length) return act(this.pictures[this.#current]);
    if (!this.pictures[this.#current + step]) return undefined;
    event.preventDefault();
    return this.#focus(this.#current + step);
  }
}
