// What was kept: pictures of any model, in localStorage, so that they outlast the tab. Up to three are chosen, to mix.

import { lineOf, pictureOf } from "./items.js";

/** @typedef {import("./items.js").Picture} Picture */

const STORE = "nelumbo-kept";
const MOST_CHOSEN = 3;
const MOST_UNDO = 50;

export class Kept {
  /** @type {string[]} */ #lines = [];
  /** @type {string[]} */ #chosen = [];
  /** @type {{ lines: string[], chosen: string[] }[]} */ #past = [];

  /** @param {() => void} changed called after each change */
  constructor(changed) {
    this.changed = changed;
    this.#read();
    addEventListener("storage", ({ key }) => key === STORE && (this.#read(), changed())); // another tab
  }

  /** @returns {Picture[]} */
  get pictures() {
    return this.#lines.map(pictureOf);
  }

  /** @returns {Picture[]} the chosen ones, the first chosen first */
  get chosen() {
    return this.#chosen.map(pictureOf);
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  has = (picture) => this.#lines.includes(lineOf(picture));

  /** @returns {number} from 1 on; 0 for one that is not chosen */
  placeOf = (picture) => this.#chosen.indexOf(lineOf(picture)) + 1;

  /** Keep a picture, and choose it if there is room; or remove it. @param {Picture} picture */
  toggle(picture) {
    const line = lineOf(picture);
    if (this.has(picture)) return this.remove([picture]);
    const hasRoom = this.#chosen.length < MOST_CHOSEN && this.chosen.every(({ model }) => model === picture.model);
    return this.#set([...this.#lines, line], hasRoom ? [...this.#chosen, line] : this.#chosen);
  }

  /** @param {Picture[]} pictures */
  remove(pictures) {
    const gone = pictures.map(lineOf);
    const stays = (line) => !gone.includes(line);
    this.#set(this.#lines.filter(stays), this.#chosen.filter(stays));
  }

  /** Choose a picture; of more than three, the one that was chosen first gives way. Choosing is no step to undo. */
  choose(picture) {
    const line = lineOf(picture);
    const others = this.#chosen.filter((one) => one !== line);
    this.#chosen = others.length < this.#chosen.length ? others : [...others, line].slice(-MOST_CHOSEN);
    this.changed();
  }

  /** Move the chosen ones one place to the left (-1) or right (1). */
  move(step) {
    const lines = [...this.#lines];
    const places = [...lines.keys()].filter((i) => this.#chosen.includes(lines[i]));
    for (const i of step < 0 ? places : places.reverse()) {
      const isFree = lines[i + step] !== undefined && !this.#chosen.includes(lines[i + step]);
      if (isFree) [lines[i], lines[i + step]] = [lines[i + step], lines[i]];
    }
    this.#set(lines, this.#chosen);
  }

  undo() {
    const last = this.#past.pop();
    if (!last) return;
    [this.#lines, this.#chosen] = [last.lines, last.chosen];
    this.#write();
  }

  #set(lines, chosen) {
    this.#past = [...this.#past, { lines: this.#lines, chosen: this.#chosen }].slice(-MOST_UNDO);
    [this.#lines, this.#chosen] = [lines, chosen];
    this.#write();
  }

  #read() {
    let stored;
    try {
      stored = JSON.parse(localStorage.getItem(STORE));
    } catch {
      stored = null; // written by hand, or there is no storage
    }
    this.#lines = [...new Set(Array.isArray(stored) ? stored : [])].filter((line) => typeof line === "string" && pictureOf(line));
    this.#chosen = this.#chosen.filter((line) => this.#lines.includes(line));
  }

  #write() {
    try {
      localStorage.setItem(STORE, JSON.stringify(this.#lines));
    } catch {
      // A browser without storage keeps them until the tab is closed.
    }
    this.changed();
  }
}
