// The page: its state, which the address has, what it shows of it, and what each control does to it.

import { addressOf, gridOf, readAddress } from "./address.js";
import { describe, psiOf, refOf, shape, showReadme, titleOf } from "./card.js";
import { check, filterClasses, listClasses, listModels as listOptions, listSliders, setSliders, showThumbnails, withSlider } from "./controls.js";
import { BATCH, draw, found, useCards } from "./drawing.js";
import { captionOf, copy, Enlarged } from "./enlarged.js";
import { lineOf, nameOf, neighbour, pictureOf, shortened } from "./items.js";
import { Kept } from "./kept.js";
import { Mixing, saveZip } from "./mixing.js";
import { Opening } from "./opening.js";
import { listModels, pause, send } from "./server.js";
import { countDown, say, stopWaiting } from "./status.js";
import { Tiles } from "./tiles.js";
import { Typesetter } from "./typesetter.js";

/** @typedef {import("./items.js").Picture} Picture @typedef {import("./address.js").State} State */

const MAX_IMAGES = Number(document.documentElement.dataset.maxImages);
const COUNT = Math.min(12, MAX_IMAGES); // of pictures in the grid: 3 columns on a phone, 4 elsewhere
const SEEDS = 10_000; // that the page draws from, as short numbers are easier to pass on; others can be typed
const SETTLED = 0.08; // seconds without a move of a slider before it draws
const TYPED = 0.25; // and without a letter

const $ = (id) => document.getElementById(id);
const times = (count, make) => Array.from({ length: count }, (_, i) => make(i));
const randomSeed = () => crypto.getRandomValues(new Uint32Array(1))[0] % SEEDS;
const GRID = { near: undefined, each: undefined, type: undefined, to: undefined }; // back to the seeds

let cards = []; // of all models
let defaultModel = ""; // digits@1
/** @type {State} */ let state;
let shownModel; // whose controls are shown
let shownGrid; // what the grid shows, as gridOf says it
let askedGrid; // and what it is being drawn for
let drawing; // when it will be
let moving; // the control that is being moved: one step of the history

// Tasks: one of a kind at a time; the next cancels the one before.

const running = {};
const cancel = (kind) => running[kind]?.abort();

/** @param {string} kind @param {(context: import("./server.js").Context) => Promise<void>} action */
async function run(kind, action) {
  cancel(kind);
  running[kind] = new AbortController();
  const { signal } = running[kind];
  try {
    await action({ signal, wait: (text, seconds) => countDown(text, seconds, signal) });
    if (!signal.aborted) stopWaiting();
  } catch (error) {
    if (!signal.aborted) say(error.message, "wrong");
  }
}

// Cards.

const cardOf = (ref) => cards.find((card) => refOf(card) === ref);
const nameOfModel = (ref) => (cardOf(ref) ? titleOf(cardOf(ref), cards) : ref);

// Steps: each changes the state and has an address.

/** @param {Partial<State>} change @param {{ replace?: boolean }} [options] */
function go(change, { replace = false } = {}) {
  state = { ...state, ...change };
  write(replace);
  apply();
}

function write(replace) {
  const note = { opened: state.open !== undefined && (replace ? history.state?.opened : true) };
  history[replace ? "replaceState" : "pushState"](note, "", addressOf(state));
}

/** A step that goes on while a control is moved or typed into. @param {EventTarget} control */
function glide(control, change, seconds) {
  const isFirst = moving !== control;
  moving = control;
  if (isFirst) go(change);
  else {
    state = { ...state, ...change };
    run("glide", async ({ signal }) => {
      await pause(seconds, signal);
      write(true);
      apply();
    });
  }
}
const settle = () => (moving = undefined);

const enlarge = (picture, options) => go({ open: picture }, options);

/** Close the enlarged picture: the step that opened it is taken back. */
function close() {
  if (history.state?.opened) history.back();
  else go({ open: undefined }, { replace: true });
}

/** The picture with the class that it shows, which others made of it keep. @param {Picture} picture */
const pinned = (picture) => ({ ...picture, label: picture.label ?? found(picture)?.label ?? undefined });
const viewOf = ({ model, label, psi, amounts }) => ({ model, label, psi, amounts });
const sourceOf = ({ model, source }) => shortened(source, cardOf(model).latent_dim);

function showNear(picture, distance) {
  go({ ...viewOf(pinned(picture)), ...GRID, near: sourceOf(picture), distance, salt: randomSeed(), open: undefined });
}

function showEach(picture) {
  go({ ...viewOf(picture), ...GRID, label: undefined, each: sourceOf(picture), open: undefined });
}

function setType(picture) {
  const { model, psi, amounts } = picture;
  go({ model, psi, amounts, type: sourceOf(picture), to: undefined, open: undefined, word: state.word || cardOf(model).classes.slice(0, 5).join("") });
}

function drawNew(seed = randomSeed()) {
  settle();
  go({ ...GRID, seed, open: undefined });
  scrollTo({ top: 0 });
}

// The grid.

const app = { go, run, cancel, enlarge, close, pinned, showNear, showEach, setType, cardOf, titleOf: nameOfModel, randomSource: () => `${randomSeed()}`, card: () => cardOf(state.model) };
Object.defineProperty(app, "state", { get: () => state });

const kept = new Kept(() => refresh());
app.kept = kept;
const grid = new Tiles($("grid"), $("tile"), {
  enlarge: (picture) => enlarge(picture),
  mark: (picture) => kept.toggle(picture),
  caption: (picture) => ({ text: captionOf(picture).replace("Seed ", ""), title: captionOf(picture) }),
  marked: (picture) => ({ sign: kept.has(picture) ? "✓" : "", name: `Keep ${captionOf(picture)}` }),
});
app.grid = grid;
const dialog = new Enlarged(app);
const mixing = new Mixing(app);
const typesetter = new Typesetter(app);
const opening = new Opening(app);

/** @param {State} shown @returns {{ pictures: Picture[], title: string }} */
function gridFor({ model, seed, label, psi, amounts, near, distance, salt, each }) {
  const base = { model, label, psi, amounts };
  if (near !== undefined) {
    const others = times(COUNT - 1, (i) => neighbour(near, (salt + i) % 2 ** 32, distance));
    return { pictures: [near, ...others].map((source) => ({ ...base, source })), title: `Near ${nameOf({ source: near })}` };
  }
  if (each !== undefined) {
    const pictures = cardOf(model).classes.map((name) => ({ ...base, source: each, label: name }));
    return { pictures, title: `${nameOf({ source: each })} in every class` };
  }
  const pictures = times(COUNT, (i) => ({ ...base, source: `${(seed + i) % 2 ** 32}` }));
  return { pictures, title: `Seeds ${pictures[0].source} – ${pictures.at(-1).source}` };
}

async function showGrid(context) {
  const wanted = gridOf(state);
  if (wanted === shownGrid) return;
  $("set").ariaBusy = "true";
  const { pictures, title } = gridFor(state);
  const present = () => {
    shownGrid = wanted;
    shape($("set"), cardOf(pictures[0].model));
    $("set-title").textContent = title;
    $("grid").toggleAttribute("data-many", pictures.length > COUNT);
    grid.show(pictures);
  };
  await draw(pictures, context, pictures.length > BATCH ? present : undefined);
  present();
  $("set").ariaBusy = "false";
  say(`${title}: ${pictures.length} pictures of ${nameOfModel(pictures[0].model)}.`, "done");
}

// What is shown.

/** Show the state: only what has changed is drawn. */
function apply() {
  const card = cardOf(state.model);
  if (shownModel !== state.model) showModel(card);
  check("class", state.label);
  setSliders(state);
  $("seed").value = state.seed;
  $("show").hidden = true;
  drawGrid(gridOf(state));
  typesetter.show(state);
  mixing.show(state.walk);
  dialog.show(state.open);
}

function drawGrid(wanted) {
  if (wanted === shownGrid) {
    cancel("grid");
    $("set").ariaBusy = "false";
  } else if (wanted !== askedGrid) {
    askedGrid = wanted;
    drawing = run("grid", showGrid).finally(() => (askedGrid = askedGrid === wanted ? undefined : askedGrid));
  }
}

function showModel(card) {
  shownModel = state.model;
  check("model", state.model);
  listClasses(card.classes);
  listSliders(card);
  describe(card, nameOfModel(state.model));
  opening.describe(card, nameOfModel(state.model));
  $("readme").replaceChildren();
  loadReadme();
}

function refresh() {
  grid.refresh();
  mixing.refresh();
  dialog.refresh();
  $("to-kept").hidden = kept.pictures.length === 0;
  $("to-kept").textContent = `Kept ${kept.pictures.length}`;
}

/** Show the model's README.md, which is requested when it is opened. */
function loadReadme() {
  if (!$("more").open || $("readme").hasChildNodes()) return;
  run("readme", async (context) => {
    const answer = await send(`models/${state.model}`, { context });
    showReadme((await answer.json()).readme);
  });
}

/** The state that an address means; without a model the default, without a seed a random one. */
function fromAddress() {
  const { hash, ...read } = readAddress(location);
  const named = cards.find((card) => [refOf(card), card.name].includes(read.model));
  const card = named ?? cardOf(defaultModel) ?? cards[0];
  const label = card.classes.find((name) => name === read.label);
  const psi = psiOf(card, read.psi);
  const amounts = Object.fromEntries(Object.entries(read.amounts).filter(([number]) => number < card.directions.length));
  const each = card.classes.length ? read.each : undefined;
  const walk = read.walk.every(({ model }) => model === read.walk[0].model && cardOf(model)) ? read.walk : [];
  const made = { ...read, model: refOf(card), seed: read.seed ?? randomSeed(), label, psi, amounts, each, walk };
  const isSeed = /^\d{1,10}$/.test(hash) && hash < 2 ** 32;
  const open = isSeed ? { ...viewOf(made), source: hash } : pictureOf(hash);
  return { ...made, open: open && cardOf(open.model) ? open : undefined, missing: named ? undefined : read.model };
}

function open() {
  settle();
  const { missing, ...made } = fromAddress();
  state = made;
  const address = addressOf(state);
  if (address !== location.search + location.hash) history.replaceState(history.state, "", address);
  apply();
  return missing;
}

async function start(context) {
  ({ models: cards, default: defaultModel } = await listModels(context));
  useCards(cardOf);
  listOptions(cards);
  $("models").disabled = $("numbers").disabled = false;
  const missing = open();
  run("thumbnails", (context) => showThumbnails(cards, context));
  refresh();
  await drawing;
  if (missing) say(`${missing} is not served here. This is ${nameOfModel(state.model)}.`, "wrong");
}

// Controls.

const on = (id, event, handler) => $(id).addEventListener(event, handler);

on("controls", "submit", (event) => {
  event.preventDefault();
  drawNew($("seed").valueAsNumber);
});
on("seed", "input", ({ target }) => ($("show").hidden = target.value === `${state.seed}`));
on("new", "click", () => drawNew());
on("models", "change", ({ target }) => {
  const card = cardOf(target.value);
  const label = card.classes.find((name) => name === state.label);
  go({ ...GRID, model: target.value, label, psi: undefined, amounts: {} });
});
on("class-list", "change", ({ target }) => go({ label: target.value || undefined, each: undefined }));
on("class-filter", "input", filterClasses);
on("class-filter", "keydown", (event) => event.key === "Enter" && event.preventDefault()); // which would submit the seed
on("sliders", "input", ({ target }) => {
  setSliders({ ...state, ...withSlider(state, target) });
  glide(target, withSlider(state, target), SETTLED);
});
on("sliders", "change", settle);
on("reset", "click", () => go({ psi: undefined, amounts: {} }));
on("word-field", "input", ({ target }) => glide(target, { word: target.value }, TYPED));
on("word-field", "change", settle);
on("more", "toggle", loadReadme);
on("zip", "click", () => run("save", () => saveZip(grid.pictures, `${state.model.split("@")[0]}-${$("set-title").textContent.replace(/\W+/g, "-").toLowerCase()}`)));
on("set-link", "click", () => copy(location.href));
on("to-kept", "click", () => $("bench").scrollIntoView());
addEventListener("popstate", open);

run("start", start);
