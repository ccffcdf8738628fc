// Requests to the server. They are repeated while it is full or cannot be reached; its errors are shown as they are.

/**
 * What cancels a request, and what shows that it waits: `wait(text, seconds)` resolves when to try again.
 * @typedef {{ signal: AbortSignal, wait: (text: string, seconds: number) => Promise<void> }} Context
 */

const LONGEST_WAIT = 30; // seconds
const BUSY = [429, 502, 503];
const KEY = "nelumbo-key"; // in sessionStorage: for this tab, until it is closed

/** @returns {Promise<{ models: object[], default: string }>} the cards of the models that are served, and the default */
export async function listModels(context) {
  return (await send("models", { context })).json();
}

/** A latent as JSON numbers; nine digits are enough to tell every float32 from its neighbours. */
export const numbers = (latent) => Array.from(latent, (value) => Number(value.toPrecision(9)));

/**
 * Send a request, again and again while the server is busy.
 * @param {string} path
 * @param {{ body?: object | Blob, context: Context }} options POST with a body, GET without
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
    await context.wait(`The server ${answer ? "is busy" : "cannot be reached"}.`, wait);
  }
}

/** @returns {Promise<Response | null>} null when the server cannot be reached */
async function sendOnce(path, body, signal) {
  const key = sessionStorage.getItem(KEY);
  const isFile = body instanceof Blob;
  const headers = {
    ...(key && { "X-API-Key": key }),
    ...(body && { "Content-Type": isFile ? body.type : "application/json" }),
  };
  const content = isFile ? body : body && JSON.stringify(body);
  try {
    return await fetch(path, { method: body ? "POST" : "GET", headers, body: content, signal });
  } catch (error) {
    if (signal.aborted) throw error;
    return null;
  }
}

export const hasKey = () => sessionStorage.getItem(KEY) !== null;

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
    if (signal.aborted) reject(signal.reason);
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}
