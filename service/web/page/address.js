// The address of all that the page shows: ?model=cats@1&seed=42&psi=0.7&d=0=1.5, and #… for the enlarged picture.

import { amountsOf, isSource, lineOf, pictureOf } from "./items.js";

/** @typedef {import("./items.js").Picture} Picture */

/**
 * @typedef {object} State
 * @property {string} model name and version
 * @property {number} seed the first of the grid, and the typeface of the word
 * @property {string} [label] the class of all pictures; without it each seed draws its own
 * @property {number} [psi] truncation; none: the model's default
 * @property {Record<string, number>} amounts
 * @property {string} [near] the source whose neighbours are shown; with its distance and a salt, which finds others
 * @property {number} distance
 * @property {number} salt
 * @property {string} [each] the source that is shown in every class
 * @property {string} word
 * @property {string} [type] the source whose typeface the word is set in, if it is not the seed
 * @property {string} [to] the source of the typeface that the word walks to
 * @property {Picture[]} walk
 * @property {Picture} [open] the enlarged one
 */

export const MOST_POINTS = 8;
const DISTANCE = 0.3;
const LONGEST_WORD = 24;

/** @param {State} state @returns {string} */
export function addressOf(state) {
  const { open, walk } = state;
  const parts = Object.entries({
    ...viewOf(state),
    word: state.word,
    type: state.word && state.type,
    to: state.word && state.to,
    walk: walk.map(lineOf).join(","),
  });
  const query = parts.filter(([, value]) => value !== undefined && value !== "").map(([key, value]) => `${key}=${encode(value)}`);
  return `?${query.join("&")}${open ? `#${encode(lineOf(open))}` : ""}`;
}

/** The part of the address that the grid depends on; equal if it shows the same pictures. */
export const gridOf = (state) => JSON.stringify(viewOf(state));

function viewOf({ model, seed, label, psi, amounts, near, distance, salt, each }) {
  const moved = Object.entries(amounts).filter(([, amount]) => amount !== 0);
  return {
    model,
    seed: `${seed}`,
    class: label,
    psi: psi === undefined ? undefined : `${psi}`,
    d: moved.map(([number, amount]) => `${number}=${amount}`).join(",") || undefined,
    near,
    distance: near && `${distance}`,
    salt: near && `${salt}`,
    each,
  };
}

const READABLE = /%(2C|2F|3A|3B|3D|40)/g; // , / : ; = @ may stand in a query and a fragment as they are
const encode = (text) => encodeURIComponent(text).replace(READABLE, decodeURIComponent);

/**
 * Read an address; what makes no sense is left out.
 * @returns {Partial<State> & { hash: string }}
 */
export function readAddress({ search, hash }) {
  const query = new URLSearchParams(search);
  const number = (key, least, most) => {
    const value = query.has(key) ? Number(query.get(key) || NaN) : NaN;
    return value >= least && value <= most ? value : undefined;
  };
  const whole = (key) => [number(key, 0, 2 ** 32 - 1)].find(Number.isInteger);
  const source = (key) => [query.get(key) ?? ""].find(isSource);
  const walk = (query.get("walk") ?? "").split(",").map(pictureOf).filter(Boolean);
  return {
    model: query.get("model") ?? undefined,
    seed: whole("seed"),
    label: query.get("class") ?? undefined,
    psi: number("psi", 0, 2),
    amounts: amountsOf((query.get("d") ?? "").split(",")),
    near: source("near"),
    distance: number("distance", 0.01, 1) ?? DISTANCE,
    salt: whole("salt") ?? 0,
    each: source("each"),
    word: (query.get("word") ?? "").slice(0, LONGEST_WORD),
    type: source("type"),
    to: source("to"),
    walk: walk.length >= 2 ? walk.slice(0, MOST_POINTS) : [],
    hash: decoded(hash.slice(1)),
  };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
