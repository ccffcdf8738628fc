// The dialog with one picture: what can be done with it.

import { shape } from "./card.js";
import { bodyOf, draw, found } from "./drawing.js";
import { bytesOf, canShare, save, share } from "./files.js";
import { fileOf, latentOf, lineOf, nameOf, seedOf } from "./items.js";
import { hasKey, numbers, send } from "./server.js";
import { say } from "./status.js";
import { isAlphabet } from "./word.js";

/** @typedef {import("./items.js").Picture} Picture */

const $ = (id) => document.getElementById(id);
const LARGE = 512; // pixels a side that a large PNG has, or nearly
const PNG = "image/png";

/** How many times as wide a picture is sent, to have about so many pixels a side. */
export const scaleTo = ({ width }, pixels) => Math.max(1, Math.min(8, Math.round(pixels / width)));

/** @param {Picture} picture @returns {string} such as "Seed 42, A" */
export function captionOf(picture) {
  const name = seedOf(picture) === undefined ? nameOf(picture) : `Seed ${picture.source}`;
  const label = picture.label ?? found(picture)?.label;
  const title = name[0].toUpperCase() + name.slice(1);
  return label ? `${title}, ${label}` : title;
}

/** The command that draws the same. @param {Picture} picture */
function curlOf(picture) {
  const key = hasKey() ? ' -H "X-API-Key: $KEY"' : "";
  const body = JSON.stringify(bodyOf([picture], "png")).replaceAll("'", "'\\''");
  return `curl${key} --json '${body}' ${new URL("generate", location.href)} -o ${fileOf(picture)}.png`;
}

/** @param {string} text */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text); // browsers have it on https: and on localhost only
    say("Copied.", "note");
  } catch {
    prompt("Copy this:", text);
  }
}

export class Enlarged {
  /** @type {Picture | undefined} */ #shown;

  /** @param {object} app of page.js */
  constructor(app) {
    this.app = app;
    const on = (id, event, act) => $(id).addEventListener(event, act);
    on("one-keep", "click", () => app.kept.toggle(this.#shown));
    on("one-curl", "click", () => copy($("one-command").value));
    on("one-close", "click", () => $("one").close());
    on("one-large", "click", () => app.run("save", (context) => this.#saveLarge(context)));
    on("one-share", "click", () => app.run("save", () => this.#share()));
    on("vary", "click", () => app.showNear(this.#shown, $("distance").valueAsNumber));
    on("each", "click", () => app.showEach(this.#shown));
    on("set-type", "click", () => app.setType(this.#shown));
    on("distance", "input", ({ target }) => ($("distance-value").value = target.value));
    on("one", "close", () => app.state.open && app.close());
    on("one", "keydown", (event) => this.#press(event));
    $("one-share").hidden = !canShare(PNG);
  }

  /** Show the picture that the state says, once it is drawn. @param {Picture | undefined} picture */
  show(picture) {
    if (!picture) return this.#hide();
    if (this.#shown && lineOf(this.#shown) === lineOf(picture)) return undefined;
    return this.app.run("open", async (context) => {
      await draw([picture], context);
      this.#paint(picture);
    });
  }

  #hide() {
    this.app.cancel("open");
    this.#shown = undefined;
    $("one").close();
  }

  #paint(picture) {
    const card = this.app.cardOf(picture.model);
    const { src } = found(picture);
    this.#shown = picture;
    shape($("one"), card);
    $("one-title").textContent = captionOf(picture);
    $("one-note").textContent = this.#noteOf(picture, card);
    Object.assign($("one-picture"), { src, alt: captionOf(picture) });
    Object.assign($("one-png"), { href: src, download: `${fileOf(picture)}.png` });
    $("one-large").hidden = scaleTo(card, LARGE) === 1;
    $("one-classes").hidden = card.classes.length === 0;
    $("set-type").hidden = !isAlphabet(card);
    this.#describe(picture, card);
    this.refresh();
    if (!$("one").open) $("one").showModal();
  }

  #noteOf({ psi, amounts, model }, { directions }) {
    const moved = Object.entries(amounts).filter(([, amount]) => amount !== 0);
    const names = moved.map(([number, amount]) => `${directions[number]?.name ?? number} ${amount}`);
    return [this.app.titleOf(model), ...(psi === undefined ? [] : [`truncation ${psi}`]), ...names].join(" · ");
  }

  #describe(picture, card) {
    const latent = numbers(latentOf(picture.source, card.latent_dim));
    const { seed, n, ...settings } = bodyOf([{ ...picture, source: "0" }], "png");
    const request = JSON.stringify({ ...settings, latent });
    $("one-command").value = curlOf(picture);
    const href = `data:application/json,${encodeURIComponent(request)}`;
    Object.assign($("one-latent"), { href, download: `${fileOf(picture)}.json` });
  }

  /** Show whether the picture is kept, and the distance. */
  refresh() {
    if (!this.#shown) return;
    const isKept = this.app.kept.has(this.#shown);
    $("one-keep").ariaPressed = `${isKept}`;
    $("one-keep").textContent = isKept ? "Kept" : "Keep";
    if (this.app.state.near) $("distance").value = this.app.state.distance;
    $("distance-value").value = $("distance").value;
  }

  async #saveLarge(context) {
    const body = { ...bodyOf([this.#shown], "png"), scale: scaleTo(this.app.cardOf(this.#shown.model), LARGE) };
    save(await (await send("generate", { body, context })).blob(), `${fileOf(this.#shown)}.png`);
  }

  async #share() {
    const bytes = await bytesOf(found(this.#shown).src);
    await share(new Blob([bytes], { type: PNG }), `${fileOf(this.#shown)}.png`);
  }

  #press({ key, target }) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (!step || ["range", "textarea"].includes(target.type)) return;
    const { pictures } = this.app.grid;
    const at = pictures.findIndex((one) => lineOf(one) === lineOf(this.#shown));
    if (at >= 0 && pictures[at + step]) this.app.enlarge(pictures[at + step], { replace: true });
  }
}
