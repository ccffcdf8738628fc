// The kept pictures, and what is made of two or three of them: walks, averages, sums.

import { isCrisp, shape } from "./card.js";
import { draw, found, settingsOf } from "./drawing.js";
import { captionOf, scaleTo } from "./enlarged.js";
import { bytesOf, canShare, save, share, zip } from "./files.js";
import { film, filmKind } from "./film.js";
import { fileOf, latentOf, lineOf, middle, seedOf, shortened, sum } from "./items.js";
import { numbers, send } from "./server.js";
import { say } from "./status.js";
import { Tiles } from "./tiles.js";
import { decode, Walk } from "./walk.js";

/** @typedef {import("./items.js").Picture} Picture */

const $ = (id) => document.getElementById(id);
const FRAMES = 48; // of a walk
const SECONDS = 2; // from one picture to the next
const WIDE = 256; // pixels that an animation is wide, or nearly
const MOST = Number(document.documentElement.dataset.maxImages);

/** Pack pictures, which are drawn, into a zip. @param {Picture[]} pictures */
export async function saveZip(pictures, name) {
  const files = pictures.filter(found).map(async (one) => [`${fileOf(one)}.png`, await bytesOf(found(one).src)]);
  save(await zip(await Promise.all(files)), `${name}.zip`);
}

export class Mixing {
  #walk = new Walk({ canvas: $("canvas"), slider: $("place"), button: $("play") });
  #shown = ""; // the lines of the walk

  /** @param {object} app of page.js */
  constructor(app) {
    this.app = app;
    this.tiles = new Tiles($("kept"), $("tile"), {
      enlarge: app.enlarge,
      mark: (picture) => app.kept.choose(picture),
      caption: (picture) => ({ text: captionOf(picture).replace("Seed ", ""), title: `${app.titleOf(picture.model)}, ${captionOf(picture)}` }),
      marked: (picture) => ({ sign: `${app.kept.placeOf(picture) || ""}`, name: `Choose ${captionOf(picture)}` }),
      keys: { Delete: (picture) => this.#remove([picture]) },
    });
    const on = (id, act) => $(id).addEventListener("click", act);
    on("walk", () => app.go({ walk: app.kept.chosen }));
    on("average", () => this.#open(middle));
    on("arithmetic", () => this.#open(sum));
    on("left", () => app.kept.move(-1));
    on("right", () => app.kept.move(1));
    on("remove", () => this.#remove(app.kept.chosen));
    on("undo", () => app.kept.undo());
    on("kept-zip", () => app.run("save", () => saveZip(app.kept.pictures, "kept")));
    on("save-walk", () => app.run("save", (context) => this.#save(context, save)));
    on("share-walk", () => app.run("save", (context) => this.#save(context, share)));
    on("stage-close", () => app.go({ walk: [] }));
    $("share-walk").hidden = !canShare("image/gif");
    offerFilm($("film"));
  }

  /** Show what is kept, and draw what is not drawn yet. */
  refresh() {
    const { kept } = this.app;
    const { chosen, pictures } = kept;
    const isOneModel = chosen.every(({ model }) => model === chosen[0].model && this.app.cardOf(model));
    this.tiles.show(pictures);
    $("kept-title").textContent = pictures.length ? `Kept: ${pictures.length}` : "Kept";
    $("kept-hint").textContent = hintOf(pictures, chosen, isOneModel);
    $("mixing").hidden = pictures.length === 0;
    $("kept-zip").hidden = pictures.length === 0;
    $("undo").hidden = !kept.canUndo;
    $("walk").disabled = $("average").disabled = chosen.length < 2 || !isOneModel;
    $("arithmetic").disabled = chosen.length < 3 || !isOneModel;
    $("left").disabled = $("right").disabled = $("remove").disabled = chosen.length === 0;
    if (pictures.some((one) => !found(one))) this.#drawMissing(pictures);
  }

  #drawMissing(pictures) {
    const served = pictures.filter(({ model }) => this.app.cardOf(model));
    if (served.some((one) => !found(one))) this.app.run("kept", (context) => draw(served, context, () => this.tiles.refresh()));
  }

  #remove(pictures) {
    this.app.kept.remove(pictures);
    say(pictures.length === 1 ? "Removed." : `${pictures.length} removed.`, "note", { label: "Undo", act: () => this.app.kept.undo() });
  }

  /** Open what is made of the chosen ones, with class and settings of the first. */
  #open(make) {
    const { chosen } = this.app.kept;
    const [first] = chosen;
    const { latent_dim } = this.app.cardOf(first.model);
    const sources = chosen.map(({ source }) => shortened(source, latent_dim));
    this.app.enlarge({ ...this.app.pinned(first), source: make(...sources) });
  }

  /** Show the walk of the state, once it is drawn. @param {Picture[]} points */
  show(points) {
    const lines = points.map(lineOf).join();
    if (lines === this.#shown) return;
    this.#shown = lines;
    if (!points.length) {
      this.app.cancel("walk");
      this.#walk.pause();
      $("stage").hidden = true;
      return;
    }
    this.app.run("walk", (context) => this.#draw(points, context).catch((error) => ((this.#shown = ""), Promise.reject(error))));
  }

  async #draw(points, context) {
    say("Drawing the walk …", "wait");
    await draw(points, context); // which says of what class each is
    const answer = await send("interpolate", { body: this.#bodyOf(points, "json"), context });
    const { data } = await answer.json();
    const frames = await Promise.all(data.map(({ b64_json }) => decode(`data:image/png;base64,${b64_json}`)));
    shape($("stage"), this.app.cardOf(points[0].model));
    $("stage-title").textContent = [...points, points[0]].map(titleOf).join(" → ");
    $("stage").hidden = false;
    this.#walk.load(frames, SECONDS * points.length);
    say("The walk is drawn.", "done");
    $("stage").scrollIntoView({ block: "nearest" });
  }

  /** The body of `POST /interpolate`. @param {Picture[]} points */
  #bodyOf(points, format) {
    const [first] = points;
    const card = this.app.cardOf(first.model);
    const steps = Math.min(FRAMES, MOST);
    return {
      model: first.model,
      points: points.map((one) => seedOf(one) ?? numbers(latentOf(one.source, card.latent_dim))),
      loop: true,
      steps,
      seconds: SECONDS * points.length,
      ...classesOf(points.map(({ label }, i) => label ?? found(points[i]).label), steps),
      ...settingsOf(first),
      format,
    };
  }

  /** Make a file of the walk, and pass it on. @param {(blob: Blob, name: string) => Promise<void> | void} pass */
  async #save(context, pass) {
    const points = this.app.state.walk;
    const card = this.app.cardOf(points[0].model);
    const format = $("format").value;
    const scale = scaleTo(card, WIDE);
    if (format === "film") return this.#film(points, { scale, isCrisp: isCrisp(card), signal: context.signal }, pass);
    const answer = await send("interpolate", { body: { ...this.#bodyOf(points, format), scale }, context });
    const [, name] = /filename="(.+?)"/.exec(answer.headers.get("content-disposition"));
    return pass(await answer.blob(), name);
  }

  async #film(points, how, pass) {
    const { frames, milliseconds } = this.#walk;
    say(`Filming ${Math.round((frames.length * milliseconds) / 1000)} seconds …`, "wait");
    const blob = await film(frames, milliseconds, how);
    const name = `${fileOf(points[0])}-to-${fileOf(points.at(-1))}.${filmKind.extension}`;
    say(`${name} is ready.`, "note", pass === share && { label: "Share", act: () => share(blob, name) });
    if (pass !== share) await pass(blob, name); // a browser lets a page share right after a tap only
  }
}

/** The class of each frame is that of the nearest point. @param {(string | null)[]} labels of the points */
function classesOf(labels, steps) {
  const [first] = labels;
  if (first === undefined || first === null) return {};
  const halves = [first, ...labels.slice(1).flatMap((label) => [label, label]), first];
  const isOne = labels.every((label) => label === first) || halves.length > steps;
  return isOne ? { class: first } : { classes: halves };
}

/** Name the film that this browser makes, or say that it makes none. @param {HTMLOptionElement} option */
function offerFilm(option) {
  option.disabled = !filmKind;
  option.textContent = filmKind ? `${filmKind.name} film` : "No film in this browser";
}

const titleOf = (point) => captionOf(point).replace("Seed ", "");

function hintOf(pictures, chosen, isOneModel) {
  if (!pictures.length) return "Keep pictures with +. They stay here when the page is closed.";
  if (!isOneModel) return "Choose pictures of one model to mix them.";
  if (chosen.length < 2) return "Choose two or three, to walk between them or mix them.";
  const settings = new Set(chosen.map(({ psi, amounts }) => JSON.stringify(settingsOf({ psi, amounts }))));
  if (settings.size > 1) return "Their sliders differ: what is mixed has the truncation and directions of number 1.";
  return "Mixed in the order of their numbers.";
}
