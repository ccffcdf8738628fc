// The section in which a word is set in a typeface that the model draws.

import { draw, found, settingsOf } from "./drawing.js";
import { animate, canShare, save, share } from "./files.js";
import { film, filmKind } from "./film.js";
import { latentOf, seedOf } from "./items.js";
import { numbers, send } from "./server.js";
import { say } from "./status.js";
import { decode, Walk } from "./walk.js";
import { inkOf, isAlphabet, pngOf, setWord, spell } from "./word.js";

const $ = (id) => document.getElementById(id);
const BLACK = [0, 0, 0]; // the page turns it white where it is dark; the file keeps it
const HEIGHT = 256; // pixels of a letter in the file
const MOVING = 128; // and in an animation
const FRAMES = 24;
const SECONDS = 3;
const MOST = Number(document.documentElement.dataset.maxImages);

export class Typesetter {
  #walk = new Walk({ canvas: $("word-canvas"), slider: $("word-place"), button: $("word-play") });
  #shown = "";
  /** @type {HTMLCanvasElement | undefined} */ #still;

  /** @param {object} app of page.js */
  constructor(app) {
    this.app = app;
    const on = (id, act) => $(id).addEventListener("click", act);
    on("word-png", () => app.run("save", async () => save(await pngOf(this.#still), this.#fileOf(".png"))));
    on("word-share", () => app.run("save", async () => share(await pngOf(this.#still), this.#fileOf(".png"))));
    on("word-walk", () => app.go({ to: app.randomSource() }));
    on("word-apng", () => app.run("save", async () => save(await this.#animation(), this.#fileOf("-walk.png"))));
    on("word-film", () => app.run("save", async ({ signal }) => save(await this.#film(signal), this.#fileOf(`-walk.${filmKind.extension}`))));
    $("word-share").hidden = !canShare("image/png");
    $("word-film").hidden = !filmKind;
    $("word-film").textContent = `Download ${filmKind?.name}`;
  }

  /** Show the word of the state, once its letters are drawn. */
  show({ model, word, seed, type = `${seed}`, to, psi, amounts }) {
    const card = this.app.cardOf(model);
    $("word").hidden = !isAlphabet(card);
    if ($("word-field").value !== word && document.activeElement !== $("word-field")) $("word-field").value = word;
    const key = JSON.stringify([model, word, type, to, psi, amounts]);
    if (key === this.#shown) return;
    this.#shown = key;
    const { letters, missing } = spell(isAlphabet(card) ? word : "", card.classes);
    if (missing.length && word) say(`This model has no ${missing.join(" ")}.`, "note");
    if (!letters.some(Boolean)) return this.#hide();
    const asked = { base: { model, psi, amounts }, letters, type, to };
    this.app.run("word", (context) => this.#draw(asked, context).catch((error) => ((this.#shown = ""), Promise.reject(error))));
  }

  #hide() {
    this.app.cancel("word");
    this.#walk.pause();
    $("word-stage").hidden = true;
  }

  async #draw({ base, letters, type, to }, context) {
    const picture = (label) => ({ ...base, source: type, label });
    await draw(letters.filter(Boolean).map(picture), context);
    const inks = await Promise.all(letters.map(async (label) => label && inkOf(await decode(found(picture(label)).src), BLACK)));
    const still = setWord(inks, scaleOf(inks, HEIGHT));
    const frames = to === undefined ? [] : await this.#frames({ base, letters, type, to }, context);
    this.#still = still;
    this.#walk.pause();
    if (frames.length) this.#walk.load(frames, SECONDS);
    else show(still);
    const spelt = letters.map((letter) => letter ?? " ").join("");
    const title = to === undefined ? nameOf(type) : `${nameOf(type)} → ${nameOf(to)} → ${nameOf(type)}`;
    $("word-title").textContent = `Typeface ${title}`;
    $("word-canvas").ariaLabel = `${spelt}, in typeface ${title}`;
    $("word-moving").hidden = to === undefined;
    $("word-stage").hidden = false;
    say(`${spelt} is set in typeface ${title}.`, "done");
  }

  /** The word in each step of the walk between two typefaces. @returns {Promise<HTMLCanvasElement[]>} */
  async #frames({ base, letters, type, to }, context) {
    const inks = new Map();
    for (const label of new Set(letters.filter(Boolean))) inks.set(label, await this.#walkOf(label, { base, type, to }, context));
    const steps = Array.from({ length: Math.min(FRAMES, MOST) }, (_, i) => letters.map((label) => label && inks.get(label)[i]));
    return steps.map((step) => setWord(step, scaleOf(step, MOVING), steps));
  }

  async #walkOf(label, { base, type, to }, context) {
    const { latent_dim } = this.app.cardOf(base.model);
    const points = [type, to].map((source) => seedOf({ source }) ?? numbers(latentOf(source, latent_dim)));
    const body = { model: base.model, points, loop: true, steps: Math.min(FRAMES, MOST), class: label, ...settingsOf(base), format: "json" };
    const { data } = await (await send("interpolate", { body, context })).json();
    return Promise.all(data.map(async ({ b64_json }) => inkOf(await decode(`data:image/png;base64,${b64_json}`), BLACK)));
  }

  async #animation() {
    const frames = await Promise.all(this.#walk.frames.map(async (frame) => new Uint8Array(await (await pngOf(frame)).arrayBuffer())));
    return animate(frames, Math.round((1000 * SECONDS) / frames.length));
  }

  /** The word as it walks, on white. */
  #film(signal) {
    say(`Filming ${SECONDS} seconds …`, "wait");
    return film(this.#walk.frames, this.#walk.milliseconds, { scale: 1, isCrisp: false, signal });
  }

  #fileOf(end) {
    return `${this.app.state.word.trim().replace(/[^\p{L}\p{N}_-]/gu, "_") || "word"}${end}`;
  }
}

const nameOf = (source) => (seedOf({ source }) === undefined ? "of your own" : source);
const scaleOf = (inks, pixels) => Math.max(1, Math.round(pixels / inks.find(Boolean).canvas.height));

/** Show a word that does not move. @param {HTMLCanvasElement} still */
function show(still) {
  const { width, height } = still;
  Object.assign($("word-canvas"), { width, height });
  $("word-canvas").getContext("2d").drawImage(still, 0, 0);
}
