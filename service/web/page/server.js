// Requests to the server. They are repeated while it is full or cannot be reached; its errors are shown as they are.

/**
 * A picture, drawn or not yet.
 * @typedef {object} Picture
 * @property {Float32Array} latent
 * @property {number} [seed] from which the latent is, if it is from one
 * @property {string} name for people: "42", or "≈42" for a neighbour
 * @property {string} [src] the drawn PNG, as a data: URL
 *
 * The options of every picture on the page; and what cancels a request, and shows that it waits.
 * @typedef {{ model: string, truncation: number }} Options
 * @typedef {{ signal: AbortSignal, say: (text: string, kind: string) => void }} Context
 */

/** Most images in one request: the server's limit, and few enough to show some while others are drawn. */
const BATCH = Math.min(16, Number(document.documentElement.dataset.maxImages));
const LONGEST_WAIT = 30; // seconds
const BUSY = [429, 502, 503];
const KEY = "nelumbo-key"; // in sessionStorage: for this tab, until it is closed

/** @returns {Promise<{ models: object[], default: string }>} the cards of the models that are served, and the default */
export async function listModels(context) {
  return (await send("models", { context })).json();
}

/**
 * Draw pictures: sets the `src` of each.
 * @param {Picture[]} pictures
 * @param {Options} options
 * @param {Context} context
 * @param {(drawn: number) => void} [progress]
 */
export async function draw(pictures, options, context, progress = () => {}) {
  for (let start = 0; start < pictures.length; start += BATCH) {
    const some = pictures.slice(start, start + BATCH);
    const answer = await send("generate", { body: bodyOf(some, options, "json"), context });
    for (const { index, b64_json } of (await answer.json()).data) some[index].src = `data:image/png;base64,${b64_json}`;
    progress(start + some.length);
  }
}

/** The body of `POST /generate` for some pictures, as short as it can be. */
export function bodyOf(pictures, { model, truncation }, format) {
  return { model, ...sourceOf(pictures), truncation, format };
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
 * Send a request, again and again while the server is busy.
 * @param {string} path
 * @param {{ body?: object, context: Context }} options POST with a body, GET without
 * @returns {Promise<Response>}
 */
export async function send(path, { body, context }) {
  for (let attempt = 0; ; attempt++) {
    const answer = await sendOnce(path, body, context.signal);
    if (answer?.ok) return answer;
    if (answer?.status === 401 && promptForKey()) continue;
    const seconds = Number(answer?.headers.get("retry-after")) || 1;
    // Nobody waits on the page for a day's quota.
    if (answer && (!BUSY.includes(answer.status) || seconds > LONGEST_WAIT)) throw new Error(await detailOf(answer));
    const wait = Math.min(LONGEST_WAIT, Math.max(seconds, 2 ** attempt));
    context.say(`The server ${answer ? "is busy" : "cannot be reached"}. Trying again in ${wait} s.`, "wait");
    await pause(wait, context.signal);
  }
}

/** @returns {Promise<Response | null>} null when the server cannot be reached */
async function sendOnce(path, body, signal) {
  const key = keyOf();
  const headers = {
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

/** @returns {boolean} whether the user has given an API key to try */
function promptForKey() {
  const key = prompt("This server asks for an API key:")?.trim();
  if (key) sessionStorage.setItem(KEY, key.replace(/[^\x21-\x7e]/g, "")); // what a header can hold
  return Boolean(key);
}

async function detailOf(answer) {
  const problem = await answer.json().catch(() => ({}));
  return problem.detail ?? `The server answered ${answer.status} ${answer.statusText}.`;
}

/** Wait; rejects as soon as `signal` is aborted. */
export function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}
