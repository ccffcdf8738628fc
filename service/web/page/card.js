// What the page says of a model: its name for people, a line with its licence, and its card and README.md.

import { toElements } from "./markdown.js";

const $ = (id) => document.getElementById(id);
const NOT_FOR_SALE = /\bNC\b(?!.*commercial)/i; // what a licence only abbreviates
const SMALL = 64; // pixels a side below which single pixels are shown

export const refOf = ({ name, version }) => `${name}@${version}`;

/** @returns {string} "Cats" for cats@1; "Cats 1" where several versions are served */
export function titleOf(card, cards) {
  const words = card.name.replace(/[-_]+/g, " ");
  const title = words[0].toUpperCase() + words.slice(1);
  return cards.filter(({ name }) => name === card.name).length > 1 ? `${title} ${card.version}` : title;
}

export function describe(card, title) {
  const { dataset, licence, width, height, channels, latent_dim, recipe, images_seen, date, classes, directions } = card;
  const rows = {
    Model: refOf(card),
    Data: `${dataset.name}, ${dataset.count.toLocaleString("en")} pictures (${dataset.licence})`,
    Licence: licence,
    Size: `${width} × ${height}, ${channels === 1 ? "grey" : "colour"}`,
    Latent: `${latent_dim} numbers`,
    ...(classes.length && { Classes: classes.length > 12 ? `${classes.length}` : classes.join(", ") }),
    ...(directions.length && { Directions: directions.map(({ name }) => name).join(", ") }),
    Recipe: `${recipe}, ${images_seen.toLocaleString("en")} pictures seen`,
    Date: date.slice(0, 10),
  };
  const element = (tag, textContent) => Object.assign(document.createElement(tag), { textContent });
  $("about").replaceChildren(...Object.entries(rows).flatMap(([dt, dd]) => [element("dt", dt), element("dd", dd)]));
  $("licence").replaceChildren(element("strong", title), ` · ${licence}${NOT_FOR_SALE.test(licence) ? " · not for commercial use" : ""}`);
}

/** @param {string | null} text of README.md */
export function showReadme(text) {
  $("readme").replaceChildren(...toElements(text ?? "This model has no README.md."));
}

/** The truncation of a picture: none where the model has no other, or where it is the model's default. */
export const psiOf = (card, psi) => (card.truncation && psi !== card.default_truncation ? psi : undefined);

/** Whether single pixels are shown, as the pictures are small. */
export const isCrisp = ({ width, height }) => Math.min(width, height) < SMALL;

/** Show pictures of this model in its shape. @param {HTMLElement} element */
export function shape(element, card) {
  element.style.setProperty("--ratio", card.width / card.height);
  element.toggleAttribute("data-pixels", isCrisp(card));
}
