// The page: its state, what it shows, and what each control does.

import { Gallery, mark, titleOf } from "./gallery.js";
import { arithmetic, between, fromSeed, near, randomSeed } from "./latents.js";
import { toElements } from "./markdown.js";
import { bodyOf, draw, hasKey, listModels, numbers, pause, send } from "./server.js";
import { Walk } from "./walk.js";

/** @typedef {import("./server.js").Picture} Picture @typedef {import("./server.js").Context} Context */

const MAX_IMAGES = Number(document.documentElement.dataset.maxImages);
const COUNT = Math.min(16, MAX_IMAGES); // of pictures in the grid
const FRAMES = 48; // of a walk
const LETTERS = ["a", "b", "c"];
const SETTLED = 0.08; // seconds without a move of the slider before it draws

const $ = (id) => document.getElementById(id);
const controls = $("controls").elements;
const grid = new Gallery($("grid"), $("tile"), { enlarge, keep });
const bench = new Gallery($("kept"), $("tile"), { enlarge, keep });
const walk = new Walk({ canvas: $("canvas"), slider: $("place"), button: $("play") });

let models = []; // the cards of all models
let defaultModel = ""; // digits@1
let model; // that of the selected one
/** @type {Picture[]} */ let kept = []; // a, b and c
/** @type {Picture[]} */ let ends = []; // of the walk that is shown
/** @type {Picture | undefined} */ let enlarged;

const refOf = ({ name, version }) => `${name}@${version}`;
const options = () => ({ model: refOf(model), truncation: model.truncation ? controls.psi.valueAsNumber : 1 });

const ofSeed = (seed) => ({ seed, name: `${seed}`, latent: fromSeed(seed, model.latent_dim) });
const isSame = (one, other) => one === other || (one.seed !== undefined && one.seed === other.seed);
const letterOf = (picture) => LETTERS[kept.findIndex((one) => isSame(one, picture))] ?? "";
const fileOf = ({ seed }) => (seed === undefined ? "latent" : `seed${`${seed}`.padStart(4, "0")}`);
const times = (count, make) => Array.from({ length: count }, (_, i) => make(i));

// Actions: one at a time; the next cancels the one before.

let current = new AbortController();
/** For requests that no action cancels. @type {Context} */
const background = { signal: new AbortController().signal, say };

/** @param {(context: Context) => Promise<void>} action */
async function act(action) {
  current.abort();
  current = new AbortController();
  const { signal } = current;
  $("set").ariaBusy = true;
  try {
    say("", "done");
    await action({ signal, say });
    if (status().dataset.kind === "wait") say("", "done");
  } catch (error) {
    if (!signal.aborted) say(error.message, "wrong");
  } finally {
    if (current.signal === signal) $("set").ariaBusy = false;
  }
}

/** @param {Picture[]} pictures @param {string} title @param {Context} context */
async function show(pictures, title, context) {
  await draw(pictures, options(), context);
  grid.pictures = pictures;
  $("set-title").textContent = title;
  render();
  say(`${title}: ${pictures.length} pictures.`, "done");
}

/** @param {Context} context */
function showSeeds(context) {
  const first = controls.seed.valueAsNumber;
  const pictures = times(COUNT, (i) => ofSeed((first + i) % 2 ** 32));
  return show(pictures, `Seeds ${first} – ${pictures.at(-1).seed}`, context);
}

/** Draw the same pictures with another truncation. @param {Context} context */
async function redraw(context) {
  await pause(SETTLED, context.signal);
  await draw(grid.pictures, options(), context);
  await draw(kept, options(), context);
  render();
  if (!$("stage").hidden) await showWalk(ends, context);
}

/** @param {Picture} picture @param {Context} context */
async function showOne(picture, context) {
  await draw([picture], options(), context);
  enlarge(picture);
}

/** @param {Picture} picture @param {Context} context */
function vary(picture, context) {
  const distance = $("distance").valueAsNumber;
  const name = picture.name.startsWith("≈") ? picture.name : `≈${picture.name}`;
  const neighbour = () => ({ name, latent: near(picture.latent, fromSeed(randomSeed(), model.latent_dim), distance) });
  $("one").close();
  return show([picture, ...times(COUNT - 1, neighbour)], `Near ${titleOf(picture)}`, context);
}

/** @param {Picture[]} pair @param {Context} context */
async function showWalk(pair, context) {
  const frames = framesOf(pair);
  await draw(frames, options(), context, (drawn) => say(`Drawing the walk: ${drawn} of ${FRAMES}.`, "wait"));
  await walk.load(frames.map(({ src }) => src));
  ends = pair;
  $("stage-title").textContent = `From ${ends[0].name} to ${ends[1].name} and back`;
  if ($("stage").hidden && !matchMedia("(prefers-reduced-motion: reduce)").matches) walk.play();
  $("stage").hidden = false;
  say("The walk is drawn.", "done");
}

const framesOf = ([from, to]) =>
  times(FRAMES, (i) => ({ latent: between(from.latent, to.latent, i / (FRAMES - 1)) }));

// Downloads and commands.

/** Download the walk as an animation. @param {Context} context */
async function saveWalk(context) {
  const [from, to] = ends.map(({ seed, latent }) => seed ?? numbers(latent));
  const body = { ...options(), from, to, steps: Math.min(FRAMES, MAX_IMAGES), format: "webp" };
  await save(await send("interpolate", { body, context }));
}

/** @param {Picture[]} pictures @param {Context} context */
async function saveZip(pictures, context) {
  await save(await send("generate", { body: bodyOf(pictures, options(), "zip"), context }));
}

/** For an <img>, which by itself would send no key. @param {Context} context */
async function pictureAt(path, context) {
  return URL.createObjectURL(await (await send(path, { context })).blob());
}

async function save(answer) {
  const [, name] = /filename="(.+?)"/.exec(answer.headers.get("content-disposition"));
  const href = URL.createObjectURL(await answer.blob());
  Object.assign(document.createElement("a"), { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

/** The command that draws the same. @param {Picture[]} pictures */
function curlOf(pictures) {
  const file = pictures.length === 1 ? fileOf(pictures[0]) : "sheet";
  const key = hasKey() ? ' -H "X-API-Key: $KEY"' : "";
  return `curl${key} --json '${JSON.stringify(bodyOf(pictures, options(), "png"))}' ${new URL("generate", location.href)} -o ${file}.png`;
}

async function copy(command) {
  try {
    await navigator.clipboard.writeText(command); // browsers have it on https: and on localhost only
    say("Copied.", "note");
  } catch {
    prompt("Copy this:", command);
  }
}

// What is shown.

const status = () => ($("one").open ? $("one-status") : $("status")); // a modal dialog hides the rest of the page

/** @param {"done" | "note" | "wait" | "wrong"} kind "done" is for screen readers only, "note" fades */
function say(text, kind) {
  status().textContent = text;
  status().dataset.kind = kind;
  for (const animation of status().getAnimations()) animation.currentTime = 0;
}

function render() {
  grid.show(grid.pictures, letterOf);
  bench.show(kept, letterOf, LETTERS.length);
  $("zip").disabled = $("set-curl").disabled = grid.pictures.length === 0;
  $("walk").disabled = $("average").disabled = kept.length < 2;
  $("arithmetic").disabled = kept.length < 3;
  if (enlarged) mark($("one-keep"), letterOf(enlarged));
}

function keep(picture) {
  if (letterOf(picture)) kept = kept.filter((one) => !isSame(one, picture));
  else if (kept.length < LETTERS.length) kept = [...kept, picture];
  else say("a, b and c are taken: remove one first.", "note");
  render();
}

function enlarge(picture) {
  const { model: ref, truncation } = options();
  const request = JSON.stringify({ model: ref, latent: numbers(picture.latent), truncation });
  const latent = `data:application/json,${encodeURIComponent(request)}`;
  enlarged = picture;
  $("one-title").textContent = titleOf(picture);
  $("one-note").textContent = `${ref}, ψ ${truncation}`;
  Object.assign($("one-picture"), { src: picture.src, alt: titleOf(picture) });
  Object.assign($("one-png"), { href: picture.src, download: `${fileOf(picture)}.png` });
  Object.assign($("one-latent"), { href: latent, download: `${fileOf(picture)}.json` });
  $("one-command").value = curlOf([picture]);
  render();
  if (!$("one").open) $("one").showModal();
  writeAddress();
}

function choose(card) {
  if (model !== card) {
    [kept, ends, $("stage").hidden] = [[], [], true]; // another model draws something else from the same latent
    $("readme").replaceChildren();
  }
  walk.pause();
  model = card;
  $("truncation").hidden = !card.truncation;
  $("models").querySelector(`[value="${refOf(card)}"]`).checked = true;
  describe(card);
  showReadme();
}

function describe({ dataset, licence, width, height, channels, latent_dim, recipe, images_seen, date }) {
  const rows = {
    Data: `${dataset.name}, ${dataset.count.toLocaleString("en")} pictures (${dataset.licence})`,
    Licence: licence,
    Size: `${width} × ${height}, ${channels === 1 ? "grey" : "colour"}`,
    Latent: `${latent_dim} numbers`,
    Recipe: `${recipe}, ${images_seen.toLocaleString("en")} pictures seen`,
    Date: date.slice(0, 10),
  };
  const element = (tag, textContent) => Object.assign(document.createElement(tag), { textContent });
  $("card-title").textContent = `About ${refOf(model)}`;
  $("about").replaceChildren(...Object.entries(rows).flatMap(([dt, dd]) => [element("dt", dt), element("dd", dd)]));
  document.documentElement.style.setProperty("--ratio", width / height);
  document.documentElement.toggleAttribute("data-pixels", width < 64);
}

/** Show the model's README.md, which is requested when it is opened. */
async function showReadme() {
  if (!$("more").open || $("readme").hasChildNodes()) return;
  const wanted = model;
  try {
    const answer = await send(`models/${refOf(wanted)}`, { context: background });
    const { readme } = await answer.json();
    if (model === wanted) $("readme").replaceChildren(...toElements(readme ?? "This model has no README.md."));
  } catch (error) {
    say(error.message, "wrong");
  }
}

// The address: ?model=digits@1&seed=42&psi=1, and #43 for the one that is enlarged.

function writeAddress({ push = false } = {}) {
  const { model: ref, truncation } = options();
  const hash = enlarged?.seed === undefined ? "" : `#${enlarged.seed}`;
  const address = `?model=${ref}&seed=${controls.seed.value}&psi=${truncation}${hash}`;
  history[push ? "pushState" : "replaceState"](null, "", address);
}

/** Set the controls from the address; without one, the default model and a random seed. */
function readAddress() {
  const query = new URLSearchParams(location.search);
  const number = (key, otherwise) => [parseFloat(query.get(key)), otherwise].find(Number.isFinite);
  const named = query.get("model");
  const found = models.find((card) => [refOf(card), card.name].includes(named));
  choose(found ?? models.find((card) => refOf(card) === defaultModel) ?? models[0]);
  controls.seed.value = number("seed", -1);
  if (!controls.seed.checkValidity()) controls.seed.value = randomSeed();
  controls.psi.value = number("psi", 1);
  $("psi-value").value = controls.psi.value;
  return { missing: found ? null : named, hash: /^#\d{1,10}$/.test(location.hash) ? Number(location.hash.slice(1)) : null };
}

/** @param {Context} context */
async function openAddress(context) {
  const { missing, hash } = readAddress();
  await showSeeds(context);
  writeAddress();
  if (missing) say(`${missing} is not served here. This is ${refOf(model)}.`, "wrong");
  if (hash !== null && hash < 2 ** 32) await showOne(ofSeed(hash), context);
}

/** @param {Context} context */
async function start(context) {
  ({ models, default: defaultModel } = await listModels(context));
  for (const card of models) {
    const option = $("model").content.cloneNode(true);
    option.querySelector("input").value = option.querySelector("span").textContent = refOf(card);
    $("models").append(option);
  }
  $("models").disabled = $("numbers").disabled = false;
  await openAddress(context).finally(showThumbnails); // after the pictures, or after they were cancelled
}

async function showThumbnails() {
  const thumbnails = document.querySelectorAll(".model img");
  try {
    for (const [i, card] of models.entries()) {
      const path = `models/${refOf(card)}/thumbnail.png`;
      thumbnails[i].src = hasKey() ? await pictureAt(path, background) : path;
    }
  } catch (error) {
    say(error.message, "wrong");
  }
}

// Controls.

const on = (id, event, handler) => $(id).addEventListener(event, handler);

on("controls", "submit", (event) => {
  event.preventDefault();
  writeAddress({ push: true });
  act(showSeeds);
});
on("new", "click", () => {
  controls.seed.value = randomSeed();
  $("controls").requestSubmit();
});
on("models", "change", ({ target }) => {
  choose(models.find((card) => refOf(card) === target.value));
  $("controls").requestSubmit();
});
on("psi", "input", () => {
  $("psi-value").value = controls.psi.value;
  writeAddress();
  act(redraw);
});
addEventListener("popstate", () => act(openAddress));

on("more", "toggle", showReadme);
on("zip", "click", () => act((context) => saveZip(grid.pictures, context)));
on("set-curl", "click", () => copy(curlOf(grid.pictures)));

on("walk", "click", () => act((context) => showWalk(kept.slice(0, 2), context)));
on("save-walk", "click", () => act(saveWalk));
on("average", "click", () => {
  const [a, b] = kept;
  const latent = between(a.latent, b.latent, 0.5);
  act((context) => showOne({ latent, name: `(${a.name} + ${b.name}) / 2` }, context));
});
on("arithmetic", "click", () => {
  const [a, b, c] = kept;
  const latent = arithmetic(a.latent, b.latent, c.latent);
  act((context) => showOne({ latent, name: `${a.name} − ${b.name} + ${c.name}` }, context));
});

on("one-keep", "click", () => keep(enlarged));
on("one-curl", "click", () => copy($("one-command").value));
on("one-close", "click", () => $("one").close());
on("vary", "click", () => act((context) => vary(enlarged, context)));
on("distance", "input", ({ target }) => ($("distance-value").value = target.value));
on("one", "close", () => {
  enlarged = undefined;
  writeAddress();
});
on("one", "keydown", ({ key, target }) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
  const next = grid.pictures[grid.pictures.indexOf(enlarged) + step];
  if (grid.pictures.includes(enlarged) && next && target.type !== "range") enlarge(next);
});

$("new").textContent = `Draw ${COUNT} new ones`;
render();
act(start);
