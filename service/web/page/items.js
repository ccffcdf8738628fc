// A picture, as what it takes to draw it: a model, how its latent is made, its class, and the settings.
// Written as one line, such as "cats@1/n(42~7~0.3):tabby;p0.7;d0=1.5": in addresses, and in what is kept.

import { arithmetic, between, fromSeed, near } from "./latents.js";

/**
 * @typedef {object} Picture
 * @property {string} model name and version: "cats@1"
 * @property {string} source how its latent is made: a seed, "42"; its neighbour towards another seed, "n(42~7~0.3)"; the
 *   middle of two, "m(1~2)"; "c(1~2~3)" for 1 − 2 + 3; or "x…", the numbers themselves
 * @property {string} [label] its class, if one was asked for
 * @property {number} [psi] truncation, 1 is off; none: the model's default
 * @property {Record<string, number>} amounts along directions, by their numbers
 */

const TOKENS = /x[\w-]+|[nmc]\(|\d+(?:\.\d+)?|[~)]/g;
const LONGEST = 160; // characters of a source; a longer one becomes its numbers
const MOST_AMOUNTS = 16;

/** @param {Picture} picture @returns {string} the line that stands for it, equal for equal pictures */
export function lineOf({ model, source, label, psi, amounts }) {
  const entries = Object.entries(amounts).filter(([, amount]) => amount !== 0);
  const settings = [psi === undefined ? "" : `;p${psi}`, ...entries.map(([number, amount]) => `;d${number}=${amount}`)];
  return `${model}/${source}${label === undefined ? "" : `:${encodeURIComponent(label)}`}${settings.join("")}`;
}

/** @returns {Picture | null} null for a line that stands for none */
export function pictureOf(line) {
  try {
    const [, model, source, label, settings] = /^([\w-]+@\d+)\/([^:;]+)(?::([^;]+))?((?:;.+)?)$/.exec(line);
    parse(source);
    const parts = settings.split(";").slice(1);
    const part = parts.find((part) => part.startsWith("p"));
    const psi = part && Number(part.slice(1));
    const amounts = amountsOf(parts.filter((part) => part.startsWith("d")).map((part) => part.slice(1)));
    if (part && !(psi >= 0 && psi <= 2)) return null;
    return { model, source, label: label && decodeURIComponent(label), psi, amounts };
  } catch {
    return null;
  }
}

/** @param {string[]} texts each like "3=1.5" @returns {Record<string, number>} those that make sense */
export function amountsOf(texts) {
  const pairs = texts.map((text) => text.split("=")).map(([number, amount]) => [number, Number(amount)]);
  const isSound = ([number, amount]) => /^\d{1,2}$/.test(number) && number < MOST_AMOUNTS && Math.abs(amount) <= 100;
  return Object.fromEntries(pairs.filter(isSound));
}

/** @returns {boolean} whether a text is a source */
export function isSource(text) {
  try {
    return Boolean(parse(text));
  } catch {
    return false;
  }
}

export const seedOf = ({ source }) => (/^\d+$/.test(source) ? Number(source) : undefined);

// How to make a source of others.

export const neighbour = (source, towards, distance) => `n(${source}~${towards}~${distance})`;
export const middle = (...sources) => `m(${sources.join("~")})`;
export const sum = (a, b, c) => `c(${a}~${b}~${c})`;

/** @param {Float32Array} latent */
export function raw(latent) {
  const bytes = new Uint8Array(Float32Array.from(latent).buffer);
  return `x${btoa(String.fromCharCode(...bytes)).replace(/[+/=]/g, (one) => ({ "+": "-", "/": "_" })[one] ?? "")}`;
}

/** @returns {string} the source, or its numbers where those are shorter to keep */
export const shortened = (source, size) => (source.length > LONGEST ? raw(latentOf(source, size)) : source);

/** @param {string} source @param {number} size how many numbers the model takes @returns {Float32Array} */
export function latentOf(source, size) {
  const make = (node) => {
    if (node.seed !== undefined) return fromSeed(node.seed, size);
    if (node.numbers) return node.numbers;
    const [first, second, third] = node.of;
    if (node.kind === "n") return near(make(first), make(second), third.seed);
    if (node.kind === "m" && third === undefined) return between(make(first), make(second), 0.5);
    if (node.kind === "m") return between(between(make(first), make(second), 0.5), make(third), 1 / 3);
    return arithmetic(make(first), make(second), make(third));
  };
  const made = make(parse(source));
  if (made.length !== size) throw new RangeError(`This picture is of a model with ${made.length} numbers, not ${size}.`);
  return made;
}

/** Read a source: a seed, numbers, or a kind with what it is made `of`. */
function parse(source) {
  const tokens = source.match(TOKENS) ?? [];
  if (tokens.join("") !== source) throw new SyntaxError(source);
  const read = () => {
    const token = tokens.shift();
    if (token?.startsWith("x")) return { numbers: numbersOf(token.slice(1)) };
    if (!token?.endsWith("(")) return { seed: numberOf(token) };
    const of = [read()];
    while (tokens[0] === "~") of.push((tokens.shift(), read()));
    if (tokens.shift() !== ")") throw new SyntaxError(source);
    return checked({ kind: token[0], of }, source);
  };
  const found = read();
  if (tokens.length || (found.seed !== undefined && !Number.isInteger(found.seed))) throw new SyntaxError(source);
  return found;
}

function checked(node, source) {
  const [least, most] = { n: [3, 3], m: [2, 3], c: [3, 3] }[node.kind];
  const seeds = node.kind === "n" ? node.of.slice(0, 2) : node.of;
  const areSeeds = seeds.every(({ seed }) => seed === undefined || Number.isInteger(seed));
  if (node.of.length < least || node.of.length > most || !areSeeds) throw new SyntaxError(source);
  return node;
}

function numberOf(token) {
  const number = Number(token);
  if (!(number >= 0 && number < 2 ** 32)) throw new SyntaxError(token);
  return number;
}

function numbersOf(text) {
  const bytes = Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0));
  const numbers = new Float32Array(bytes.buffer);
  if (!numbers.every((number) => Math.abs(number) <= 1000)) throw new SyntaxError("a number out of range");
  return numbers;
}

// Words for people.

/** @param {Picture} picture @returns {string} such as "42", "near 42" or "1 − 2 + 3" */
export function nameOf({ source }) {
  const name = (node) => {
    if (node.seed !== undefined) return `${node.seed}`;
    if (node.numbers) return "own latent";
    const names = node.of.map(name);
    if (node.kind === "n") return names[0].startsWith("near ") ? names[0] : `near ${names[0]}`;
    return node.kind === "m" ? `(${names.join(" + ")}) / ${names.length}` : `${names[0]} − ${names[1]} + ${names[2]}`;
  };
  return name(parse(source));
}

/** @returns {string} a file name without its extension */
export function fileOf(picture) {
  const seed = seedOf(picture);
  const slug = picture.label === undefined ? "" : `-${picture.label.replace(/[^\p{L}\p{N}_-]/gu, "_")}`;
  return `${picture.model.split("@")[0]}-${seed === undefined ? "latent" : `seed${`${seed}`.padStart(4, "0")}`}${slug}`;
}
