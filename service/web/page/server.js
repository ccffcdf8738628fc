// Asking the server. One that is full or away is asked again; what is wrong with a request is said in its own words.

/**
 * A picture, drawn or not yet.
 * @typedef {object} Picture
 * @property {Float32Array} latent
 * @property {number} [seed] from which the latent is, if it is from one
 * @property {string} name for people: "42", or "≈42" for a neighbour
 * @property {string} [src] the drawn PNG, as a data: URL
 *
 * What holds for every picture on the page, and how a request is ended and its waiting told.
 * @typedef {{ model: string, truncation: number }} Taste
 * @typedef {{ signal: AbortSignal, say: (text: string, kind: string) => void }} Way
 */

/** Most images in one request: the server's own limit, and few enough to show some while others are drawn. */
const AT_ONCE = Math.min(16, Number(document.documentElement.dataset.maxImages));
const LONGEST_WAIT = 30; // seconds
const BUSY = [429, 502, 503];
const KEY = "nelumbo-key"; // in sessionStorage: for this tab, until it is closed

/** @returns {Promise<object[]>} the cards of the models that are served */
export async function listModels(way) {
  const answer = await ask("models", { way });
  return (await answer.json()).models;
}

/**
 * Draw pictures: sets the `src` of each.
 * @param {Picture[]} pictures
 * @param {Taste} taste
 * @param {Way} way
 * @param {(drawn: number) => void} [progress]
 */
export async function draw(pictures, taste, way, progress = () => {}) {
  for (let start = 0; start < pictures.length; start += AT_ONCE) {
    const some = pictures.slice(start, start + AT_ONCE);
    const answer = await ask("generate", { body: bodyOf(some, taste), way });
    for (const { index, b64_json } of (await answer.json()).data) some[index].src = `data:image/png;base64,${b64_json}`;
    progress(start + some.length);
  }
}

/** The body of `POST /generate` for some pictures, in the shortest words. */
export function bodyOf(pictures, taste) {
  return { model: taste.model, ...sourceOf(pictures), truncation: taste.truncation };
}

function sourceOf(pictures) {
  const seeds = pictures.map(({ seed }) => seed);
  if (seeds.includes(undefined)) {
    const latents = pictures.map(({ latent }) => numbers(latent));
    return latents.length === 1 ? { latent: latents[0] } : { latents };
  }
  const [seed] = seeds;
  if (seeds.length === 1) return { seed };
  return seeds.every((one, i) => one === (seed + i) % 2 ** 32) ? { seed, n: seeds.length } : { seeds };
}

/** A latent as JSON numbers; nine digits are enough to tell every float32 from its neighbours. */
export const numbers = (latent) => Array.from(latent, (value) => Number(value.toPrecision(9)));

/**
 * Ask until there is an answer that counts.
 * @param {string} path
 * @param {{ body?: object, accept?: string, way: Way }} how
 * @returns {Promise<Response>}
 */
export async function ask(path, { body, accept = "application/json", way }) {
  for (let attempt = 0; ; attempt++) {
    const answer = await send(path, body, accept, way.signal);
    if (answer?.ok) return answer;
    if (answer?.status === 401 && askForKey()) continue;
    const asked = Number(answer?.headers.get("retry-after")) || 1;
    // A day's quota that is used up is nothing to wait for.
    if (answer && (!BUSY.includes(answer.status) || asked > LONGEST_WAIT)) throw new Error(await detailOf(answer));
    const wait = Math.min(LONGEST_WAIT, Math.max(asked, 2 ** attempt));
    way.say(`The server ${answer ? "is busy" : "is away"}. Trying again in ${wait} s.`, "wait");
    await pause(wait, way.signal);
  }
}

/** @returns {Promise<Response | null>} null when the server cannot be reached */
async function send(path, body, accept, signal) {
  const key = keyOf();
  const headers = {
    Accept: accept,
    ...(key && { "X-API-Key": key }),
    ...(body && { "Content-Type": "application/json" }),
  };
  try {
    return await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (signal.aborted) throw error;
    return null;
  }
}

const keyOf = () => sessionStorage.getItem(KEY);
export const hasKey = () => keyOf() !== null;

/** A server with API keys asks for one. @returns {boolean} whether there is now one to try */
function askForKey() {
  const key = prompt("This server asks for an API key:")?.trim();
  if (key) sessionStorage.setItem(KEY, key.replace(/[^\x21-\x7e]/g, "")); // what a header can hold
  return Boolean(key);
}

async function detailOf(answer) {
  const problem = await answer.json().catch(() => ({}));
  return problem.detail ?? `The server answered ${answer.status} ${answer.statusText}.`;
}

/** Wait, unless `signal` ends it first. */
export function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}
