// The page: what is chosen, what is shown, and what each control does.

import { Gallery, mark, titleOf } from "./gallery.js";
import { arithmetic, between, fromSeed, near, randomSeed } from "./latents.js";
import { toElements } from "./markdown.js";
import { ask, bodyOf, draw, hasKey, listModels, numbers, pause } from "./server.js";
import { Walk } from "./walk.js";

/** @typedef {import("./server.js").Picture} Picture @typedef {import("./server.js").Way} Way */

const MAX_IMAGES = Number(document.documentElement.dataset.maxImages);
const COUNT = Math.min(16, MAX_IMAGES); // pictures in the grid
const FRAMES = 48; // of a walk
const LETTERS = ["a", "b", "c"];
const SETTLED = 0.08; // seconds without a move of the slider, after which it is worth drawing

const $ = (id) => document.getElementById(id);
const controls = $("controls").elements;
const grid = new Gallery($("grid"), $("tile"), { enlarge, keep });
const bench = new Gallery($("kept"), $("tile"), { enlarge, keep });
const walk = new Walk({ canvas: $("canvas"), slider: $("place"), button: $("play") });

let models = []; // the cards of all, and
let model; // of the one that is chosen
/** @type {Picture[]} */ let kept = []; // a, b and c
/** @type {Picture[]} */ let ends = []; // of the walk that is shown
/** @type {Picture | undefined} */ let enlarged;

const refOf = ({ name, version }) => `${name}@${version}`;
const taste = () => ({ model: refOf(model), truncation: controls.psi.valueAsNumber });

const ofSeed = (seed) => ({ seed, name: `${seed}`, latent: fromSeed(seed, model.latent_dim) });
const isSame = (one, other) => one === other || (one.seed !== undefined && one.seed === other.seed);
const letterOf = (picture) => LETTERS[kept.findIndex((one) => isSame(one, picture))] ?? "";
const fileOf = ({ seed }) => (seed === undefined ? "latent" : `seed${`${seed}`.padStart(4, "0")}`);
const times = (count, make) => Array.from({ length: count }, (_, i) => make(i));

// Drawing: one action at a time, the next ends the one before.

let turn = new AbortController();
/** What goes on beside the actions is ended by none. @type {Way} */
const beside = { signal: new AbortController().signal, say };

/** @param {(way: Way) => Promise<void>} action */
async function act(action) {
  turn.abort();
  turn = new AbortController();
  const { signal } = turn;
  $("set").ariaBusy = true;
  try {
    say("", "done");
    await action({ signal, say });
    if (status().dataset.kind === "wait") say("", "done");
  } catch (error) {
    if (!signal.aborted) say(error.message, "wrong");
  } finally {
    if (turn.signal === signal) $("set").ariaBusy = false;
  }
}

/** @param {Picture[]} pictures @param {string} title @param {Way} way */
async function show(pictures, title, way) {
  await draw(pictures, taste(), way);
  grid.pictures = pictures;
  $("set-title").textContent = title;
  render();
  say(`${title}: ${pictures.length} pictures.`, "done");
}

/** @param {Way} way */
function showSeeds(way) {
  const first = controls.seed.valueAsNumber;
  const pictures = times(COUNT, (i) => ofSeed((first + i) % 2 ** 32));
  return show(pictures, `Seeds ${first} – ${pictures.at(-1).seed}`, way);
}

/** Draw what is there once more, with another truncation. @param {Way} way */
async function redraw(way) {
  await pause(SETTLED, way.signal);
  await draw(grid.pictures, taste(), way);
  await draw(kept, taste(), way);
  render();
  if (!$("stage").hidden) await showWalk(ends, way);
}

/** @param {Picture} picture @param {Way} way */
async function showOne(picture, way) {
  await draw([picture], taste(), way);
  enlarge(picture);
}

/** @param {Picture} picture @param {Way} way */
function vary(picture, way) {
  const distance = $("distance").valueAsNumber;
  const name = picture.name.startsWith("≈") ? picture.name : `≈${picture.name}`;
  const neighbour = () => ({ name, latent: near(picture.latent, fromSeed(randomSeed(), model.latent_dim), distance) });
  $("one").close();
  return show([picture, ...times(COUNT - 1, neighbour)], `Near ${titleOf(picture)}`, way);
}

/** @param {Picture[]} pair @param {Way} way */
async function showWalk(pair, way) {
  const frames = framesOf(pair);
  await draw(frames, taste(), way, (drawn) => say(`Drawing the walk: ${drawn} of ${FRAMES}.`, "wait"));
  await walk.load(frames.map(({ src }) => src));
  ends = pair;
  $("stage-title").textContent = `From ${ends[0].name} to ${ends[1].name} and back`;
  if ($("stage").hidden && !matchMedia("(prefers-reduced-motion: reduce)").matches) walk.play();
  $("stage").hidden = false;
  say("The walk is drawn.", "done");
}

const framesOf = ([from, to]) =>
  times(FRAMES, (i) => ({ latent: between(from.latent, to.latent, i / (FRAMES - 1)) }));

// Taking away: files and commands.

/** As an animation. @param {Way} way */
async function saveWalk(way) {
  const [from, to] = ends.map(({ seed, latent }) => seed ?? numbers(latent));
  const body = { ...taste(), from, to, steps: Math.min(FRAMES, MAX_IMAGES) };
  await save(await ask("interpolate", { body, accept: "image/webp", way }));
}

/** @param {Picture[]} pictures @param {Way} way */
async function saveZip(pictures, way) {
  await save(await ask("generate", { body: bodyOf(pictures, taste()), accept: "application/zip", way }));
}

/** What an <img> of its own cannot ask for, as it shows no key. @param {Way} way */
async function pictureAt(path, way) {
  return URL.createObjectURL(await (await ask(path, { accept: "image/png", way })).blob());
}

async function save(answer) {
  const [, name] = /filename="(.+?)"/.exec(answer.headers.get("content-disposition"));
  const href = URL.createObjectURL(await answer.blob());
  Object.assign(document.createElement("a"), { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

/** What draws the same from a terminal. @param {Picture[]} pictures */
function curlOf(pictures) {
  const file = pictures.length === 1 ? fileOf(pictures[0]) : "sheet";
  const key = hasKey() ? ' -H "X-API-Key: $KEY"' : "";
  return `curl${key} --json '${JSON.stringify(bodyOf(pictures, taste()))}' ${new URL("generate", location.href)} -o ${file}.png`;
}

async function copy(command) {
  try {
    await navigator.clipboard.writeText(command); // not there on plain HTTP, but from this same computer
    say("Copied.", "note");
  } catch {
    prompt("Copy this:", command);
  }
}

// What is seen.

const status = () => ($("one").open ? $("one-status") : $("status")); // a modal dialog hides all that is outside of it

/** @param {"done" | "note" | "wait" | "wrong"} kind done is only heard, a note fades, the others stay */
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
  else say("a, b and c are taken: put one back first.", "note");
  render();
}

function enlarge(picture) {
  const { model: ref, truncation } = taste();
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
    [kept, ends, $("stage").hidden] = [[], [], true]; // to another model a latent means something else
    $("readme").replaceChildren();
  }
  walk.pause();
  model = card;
  $("models").querySelector(`[value="${refOf(card)}"]`).checked = true;
  describe(card);
  tell();
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

/** Show what stands in the model's README.md; it is asked for when somebody opens it. */
async function tell() {
  if (!$("more").open || $("readme").hasChildNodes()) return;
  const asked = model;
  try {
    const answer = await ask(`models/${refOf(asked)}`, { way: beside });
    const { readme } = await answer.json();
    if (model === asked) $("readme").replaceChildren(...toElements(readme ?? "Nothing: it has no README.md."));
  } catch (error) {
    say(error.message, "wrong");
  }
}

// The address: ?model=digits@1&seed=42&psi=1, and #43 for the one that is enlarged.

function writeAddress({ push = false } = {}) {
  const { model: ref, truncation } = taste();
  const hash = enlarged?.seed === undefined ? "" : `#${enlarged.seed}`;
  const address = `?model=${ref}&seed=${controls.seed.value}&psi=${truncation}${hash}`;
  history[push ? "pushState" : "replaceState"](null, "", address);
}

/** Put what the address says into the controls; what it does not say is the first, or left to chance. */
function readAddress() {
  const query = new URLSearchParams(location.search);
  const number = (key, otherwise) => [parseFloat(query.get(key)), otherwise].find(Number.isFinite);
  const named = query.get("model");
  const found = models.find((card) => [refOf(card), card.name].includes(named));
  choose(found ?? models[0]);
  controls.seed.value = number("seed", -1);
  if (!controls.seed.checkValidity()) controls.seed.value = randomSeed();
  controls.psi.value = number("psi", 1);
  $("psi-value").value = controls.psi.value;
  return { missing: found ? null : named, hash: /^#\d{1,10}$/.test(location.hash) ? Number(location.hash.slice(1)) : null };
}

/** @param {Way} way */
async function arrive(way) {
  const { missing, hash } = readAddress();
  await showSeeds(way);
  writeAddress();
  if (missing) say(`${missing} is not served here. This is ${refOf(model)}.`, "wrong");
  if (hash !== null && hash < 2 ** 32) await showOne(ofSeed(hash), way);
}

/** @param {Way} way */
async function start(way) {
  models = await listModels(way);
  for (const card of models) {
    const option = $("model").content.cloneNode(true);
    option.querySelector("input").value = option.querySelector("span").textContent = refOf(card);
    $("models").append(option);
  }
  $("models").disabled = $("numbers").disabled = false;
  await arrive(way).finally(showThumbnails); // after what the person waits for, or has not waited for
}

async function showThumbnails() {
  const thumbnails = document.querySelectorAll(".model img");
  try {
    for (const [i, card] of models.entries()) {
      const path = `models/${refOf(card)}/thumbnail.png`;
      thumbnails[i].src = hasKey() ? await pictureAt(path, beside) : path;
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
addEventListener("popstate", () => act(arrive));

on("more", "toggle", tell);
on("zip", "click", () => act((way) => saveZip(grid.pictures, way)));
on("set-curl", "click", () => copy(curlOf(grid.pictures)));

on("walk", "click", () => act((way) => showWalk(kept.slice(0, 2), way)));
on("save-walk", "click", () => act(saveWalk));
on("average", "click", () => {
  const [a, b] = kept;
  const latent = between(a.latent, b.latent, 0.5);
  act((way) => showOne({ latent, name: `(${a.name} + ${b.name}) / 2` }, way));
});
on("arithmetic", "click", () => {
  const [a, b, c] = kept;
  const latent = arithmetic(a.latent, b.latent, c.latent);
  act((way) => showOne({ latent, name: `${a.name} − ${b.name} + ${c.name}` }, way));
});

on("one-keep", "click", () => keep(enlarged));
on("one-curl", "click", () => copy($("one-command").value));
on("one-close", "click", () => $("one").close());
on("vary", "click", () => act((way) => vary(enlarged, way)));
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
