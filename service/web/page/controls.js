// The controls that depend on the models: a strip of them, a picker of classes, and a slider for each setting.

import { refOf, titleOf } from "./card.js";
import { hasKey, send } from "./server.js";

const $ = (id) => document.getElementById(id);
const MANY = 30; // classes above which a field finds them by name
const copyOf = (id) => $(id).content.firstElementChild.cloneNode(true);

/** Make the strip of models. @param {object[]} cards */
export function listModels(cards) {
  const options = cards.map((card) => {
    const option = copyOf("model");
    option.querySelector("input").value = refOf(card);
    option.querySelector(".label").textContent = titleOf(card, cards);
    option.title = refOf(card);
    return option;
  });
  $("model-list").replaceChildren(...options);
}

/** Show each model's first pictures; an <img> by itself would send no key. @param {object[]} cards */
export async function showThumbnails(cards, context) {
  for (const [i, image] of document.querySelectorAll(".model img").entries()) {
    const path = `models/${refOf(cards[i])}/thumbnail.png`;
    image.src = hasKey() ? URL.createObjectURL(await (await send(path, { context })).blob()) : path;
  }
}

/** Make the picker of a model's classes. @param {string[]} classes */
export function listClasses(classes) {
  $("classes").hidden = classes.length === 0;
  $("class-filter").hidden = classes.length <= MANY;
  $("class-filter").value = "";
  const option = (value, text) => {
    const chip = copyOf("class");
    chip.querySelector("input").value = value;
    chip.querySelector("span").textContent = text;
    return chip;
  };
  // "any" has no name's length: names have one character or more
  $("class-list").replaceChildren(option("", "Any"), ...classes.map((name) => option(name, name)));
}

/** Show the classes whose name contains what was typed. */
export function filterClasses() {
  const wanted = $("class-filter").value.trim().toLowerCase();
  for (const chip of $("class-list").children) {
    const isChosen = chip.querySelector("input").checked;
    chip.hidden = !isChosen && !chip.textContent.toLowerCase().includes(wanted);
  }
}

/** @param {string} name @param {string | undefined} value */
export function check(name, value = "") {
  const radios = [...document.getElementsByName(name)];
  const chosen = radios.find((radio) => radio.value === value);
  if (!chosen) return;
  const isNew = !chosen.checked;
  chosen.checked = true;
  if (isNew) reveal(chosen.parentElement);
}

/** Bring a chip to the middle of its strip, without scrolling the page. */
function reveal(chip) {
  const strip = chip.parentElement;
  strip.scrollLeft = chip.offsetLeft - strip.offsetLeft - (strip.clientWidth - chip.offsetWidth) / 2;
  strip.scrollTop = chip.offsetTop - strip.offsetTop - (strip.clientHeight - chip.offsetHeight) / 2;
}

/** Make a slider for truncation and for each direction that the model has. */
export function listSliders({ truncation, default_truncation, directions }) {
  const hint = "lower: safer and more alike";
  const psi = { id: "psi", text: "Truncation", hint, min: 0, max: 1.5, step: 0.05, defaultValue: default_truncation };
  const named = (name) => (/^\d+$/.test(name) ? `Direction ${Number(name) + 1}` : name);
  const each = directions.map(({ name, range }, i) => ({ id: `d${i}`, text: named(name), min: -range, max: range, step: range / 20 }));
  $("sliders").replaceChildren(...[...(truncation ? [psi] : []), ...each].map(sliderOf));
  $("adjust").hidden = !truncation && directions.length === 0;
}

function sliderOf({ id, text, hint = "", min, max, step, defaultValue = 0 }) {
  const slider = copyOf("slider");
  const input = Object.assign(slider.querySelector("input"), { id, min, max, step, defaultValue });
  Object.assign(slider.querySelector("label"), { htmlFor: id, title: hint });
  slider.querySelector("span").textContent = hint ? `${text} (${hint})` : text;
  return slider;
}

const rounded = (number) => Number(number.toFixed(3));

/** Set the sliders to the settings. */
export function setSliders({ psi, amounts }) {
  for (const input of $("sliders").querySelectorAll("input")) {
    const value = (input.id === "psi" ? psi : amounts[input.id.slice(1)]) ?? Number(input.defaultValue);
    if (input.valueAsNumber !== value) input.value = value;
    input.parentElement.querySelector("output").textContent = rounded(value);
  }
  const changes = Number(psi !== undefined) + Object.values(amounts).filter((amount) => amount !== 0).length;
  $("adjusted").textContent = changes ? ` · ${changes} changed` : "";
  $("reset").disabled = changes === 0;
}

/** The settings with one slider's value in place of theirs. @param {HTMLInputElement} input */
export function withSlider({ psi, amounts }, { id, valueAsNumber, value, defaultValue }) {
  if (id === "psi") return { psi: value === defaultValue ? undefined : rounded(valueAsNumber), amounts };
  return { psi, amounts: { ...amounts, [id.slice(1)]: rounded(valueAsNumber) } };
}
