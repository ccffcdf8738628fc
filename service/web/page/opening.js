// A picture that is opened, dropped or pasted: one that Nelumbo drew brings its settings back; a model with an encoder
// looks for the latent of any other.

import { psiOf } from "./card.js";
import { textsOf } from "./files.js";
import { raw } from "./items.js";
import { send } from "./server.js";
import { say } from "./status.js";

const $ = (id) => document.getElementById(id);
const SIDE = 512; // pixels of the short side that is sent, which no model here exceeds by much
const TYPE = "image/jpeg";

export class Opening {
  /** @param {object} app of page.js */
  constructor(app) {
    this.app = app;
    for (const id of ["photo", "camera"]) {
      $(id).addEventListener("change", ({ target }) => {
        this.#open(target.files[0]);
        target.value = "";
      });
    }
    addEventListener("dragover", (event) => event.preventDefault());
    addEventListener("drop", (event) => {
      event.preventDefault();
      this.#open(event.dataTransfer.files[0]);
    });
    addEventListener("paste", ({ clipboardData }) => this.#open(clipboardData.files[0]));
  }

  /** Say what the model can do with a picture; a photo is taken where that is of use, and where a hand holds a camera. */
  describe(card, title) {
    $("camera-label").hidden = !card.encoder || !matchMedia("(pointer: coarse)").matches;
    $("opening-hint").textContent = card.encoder
      ? `Drop or choose a photo, to find what ${title} draws most like it. A PNG drawn here brings its settings back.`
      : "Drop or choose a PNG that was drawn here: it brings its settings back.";
  }

  /** @param {File | undefined} file */
  #open(file) {
    if (!file?.type.startsWith("image/")) return;
    this.app.run("photo", async (context) => {
      const texts = textsOf(new Uint8Array(await file.arrayBuffer()));
      if (texts.model && texts.version) this.#reload(texts);
      else if (this.app.card().encoder) await this.#invert(file, context);
      else throw new Error("This picture was not drawn by Nelumbo, and this model cannot look for a photo.");
    });
  }

  /** Take the settings of a PNG's text chunks. */
  #reload(texts) {
    const model = `${texts.model}@${texts.version}`;
    const card = this.app.cardOf(model);
    if (!card) throw new Error(`${model}, which drew this picture, is not served here.`);
    const seeds = (texts.seed ?? "").split(",").filter((seed) => /^\d{1,10}$/.test(seed) && seed < 2 ** 32);
    const psi = psiOf(card, Number(texts.truncation ?? 1));
    const settings = { model, psi, amounts: amountsOf(texts, card), label: card.classes.find((name) => name === texts.class) };
    const seed = seeds.length ? Number(seeds[0]) : this.app.state.seed;
    this.app.go({ ...settings, seed, near: undefined, each: undefined, open: undefined });
    if (seeds.length === 1) this.app.enlarge({ source: seeds[0], ...settings }); // a step of its own, to close it
    if (!seeds.length) say("This file does not hold its latent. Its model and settings are set.", "note");
  }

  /** Ask the model's encoder for the nearest that it draws. */
  async #invert(file, context) {
    say("Looking for the nearest picture …", "wait");
    const { model, label: asked } = this.app.state;
    const label = asked ?? this.app.card().classes[0];
    const query = new URLSearchParams({ model, ...(label !== undefined && { class: label }) });
    const answer = await send(`invert?${query}`, { body: await shrunk(file), context });
    const { latent } = await answer.json();
    this.app.enlarge({ model, source: raw(Float32Array.from(latent)), label, psi: psiOf(this.app.card(), 1), amounts: {} });
  }
}

/** The amounts by the numbers of the directions, whose names a file has. */
function amountsOf({ directions = "{}" }, card) {
  const found = {};
  try {
    for (const [name, amount] of Object.entries(JSON.parse(directions))) {
      const number = card.directions.findIndex((one) => one.name === name);
      if (number >= 0 && Math.abs(amount) <= 100) found[number] = amount;
    }
  } catch {
    // A file with other text there has no directions.
  }
  return found;
}

/** The middle of a photo, no larger than need be. @param {File} file @returns {Promise<Blob>} */
async function shrunk(file) {
  const image = await createImageBitmap(file).catch(() => {
    throw new Error("This browser cannot read this picture. Choose a PNG, JPEG or WebP.");
  });
  const short = Math.min(image.width, image.height);
  const side = Math.min(SIDE, short);
  const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, (image.width - short) / 2, (image.height - short) / 2, short, short, 0, 0, side, side);
  return new Promise((resolve) => canvas.toBlob(resolve, TYPE, 0.95));
}
