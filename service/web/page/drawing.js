// Draws pictures, a batch in a request, and remembers what was drawn, so that going back needs no server.

import { latentOf, lineOf, seedOf } from "./items.js";
import { numbers, send } from "./server.js";

/** @typedef {import("./items.js").Picture} Picture @typedef {import("./server.js").Context} Context */
/** @typedef {{ src: string, label?: string }} Drawn a PNG as a data: URL, and the class that it shows */

/** Most images in one request: the server's limit, and few enough to show some while others are drawn. */
export const BATCH = Math.min(16, Number(document.documentElement.dataset.maxImages));
const ROOM = 2 ** 26; // characters of pictures to remember

/** @type {Map<string, Drawn>} by line, the oldest first */ const drawn = new Map();
let used = 0;

/** @type {(ref: string) => object | undefined} */ let cardOf = () => undefined;
/** @param {(ref: string) => object | undefined} find returns the card of a model */
export const useCards = (find) => (cardOf = find);

/** @param {Picture} picture @returns {Drawn | undefined} */
export const found = (picture) => drawn.get(lineOf(picture));

/**
 * Draw those pictures that are not yet drawn.
 * @param {Picture[]} pictures
 * @param {Context} context
 * @param {() => void} [progress] called after each batch
 */
export async function draw(pictures, context, progress = () => {}) {
  const missing = new Map(pictures.filter((one) => !found(one)).map((one) => [lineOf(one), one]));
  for (const group of groupsOf([...missing.values()])) {
    for (let start = 0; start < group.length; start += BATCH) {
      const some = group.slice(start, start + BATCH);
      const answer = await send("generate", { body: bodyOf(some, "json"), context });
      const { data } = await answer.json();
      data.forEach((one, i) => remember(some[i], { src: `data:image/png;base64,${one.b64_json}`, label: one.class }));
      progress();
    }
  }
}

function remember(picture, made) {
  drawn.set(lineOf(picture), made);
  used += made.src.length;
  for (const [line, { src }] of drawn) {
    if (used <= ROOM || drawn.size <= BATCH) break;
    drawn.delete(line);
    used -= src.length;
  }
}

/** Split pictures into those that one request can draw: of one model and settings, and of one class or one source. */
function groupsOf(pictures) {
  const groups = Object.values(Object.groupBy(pictures, (one) => lineOf({ ...one, source: "0", label: undefined })));
  return groups.flatMap((group) => {
    const isOneSource = group.every(({ source, label }) => source === group[0].source && label !== undefined);
    const keyOf = (one) => `${one.label !== undefined}:${one.label}:${seedOf(one) === undefined}`;
    return isOneSource ? [group] : Object.values(Object.groupBy(group, keyOf));
  });
}

/** The body of `POST /generate` for pictures of one group, as short as it can be. @param {Picture[]} pictures */
export function bodyOf(pictures, format) {
  const [{ model, psi, amounts }] = pictures;
  return { model, ...sourceOf(pictures), ...classOf(pictures), ...settingsOf({ psi, amounts }), format };
}

/** Truncation, where it is not the model's default, and directions, where they are not off. */
export const settingsOf = ({ psi, amounts }) => ({
  ...(psi !== undefined && { truncation: psi }),
  ...(Object.values(amounts).some((amount) => amount !== 0) && { directions: amounts }),
});

const hasManyClasses = (pictures) => pictures.some(({ label }) => label !== pictures[0].label);

function classOf(pictures) {
  if (hasManyClasses(pictures)) return { classes: pictures.map(({ label }) => label) };
  return pictures[0].label === undefined ? {} : { class: pictures[0].label };
}

function sourceOf(pictures) {
  if (hasManyClasses(pictures)) return sourceOf(pictures.slice(0, 1));
  const seeds = pictures.map(seedOf);
  if (seeds.includes(undefined)) {
    const latents = pictures.map((one) => numbers(latentOf(one.source, cardOf(one.model).latent_dim)));
    return latents.length === 1 ? { latent: latents[0] } : { latents };
  }
  const [seed] = seeds;
  if (seeds.length === 1) return { seed };
  return seeds.every((one, i) => one === (seed + i) % 2 ** 32) ? { seed, n: seeds.length } : { seeds };
}
