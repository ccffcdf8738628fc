// Latents: those of seeds, with the same numbers as the server's, and others made of them.
// A latent is a Float32Array of Z numbers from a standard normal distribution.

/**
 * The latent of a seed: NumPy's RandomState(seed).randn(size), which is a Mersenne Twister and the polar method.
 * @param {number} seed 0 … 2**32 - 1
 * @param {number} size
 */
export function fromSeed(seed, size) {
  const word = mersenneTwister(seed);
  const uniform = () => ((word() >>> 5) * 2 ** 26 + (word() >>> 6)) / 2 ** 53;
  const latent = new Float32Array(size);
  for (let i = 0; i < size; i += 2) {
    const [x, y] = pointInDisc(uniform);
    const square = x * x + y * y;
    const scale = Math.sqrt((-2 * Math.log(square)) / square);
    latent[i] = y * scale; // NumPy returns the second of a pair first
    if (i + 1 < size) latent[i + 1] = x * scale;
  }
  return latent;
}

/** @returns {number} a random seed */
export const randomSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

/**
 * The latent at `t` (0 … 1) of the path from one to another: slerp of service/engine/interpolation.py, which a test
 * compares. Equal angles on the great circle, with a length that changes linearly from one end's to the other's.
 */
export function between(from, to, t) {
  if (t === 0 || t === 1) return (t ? to : from).slice();
  const lengths = [Math.hypot(...from), Math.hypot(...to)];
  if (Math.min(...lengths) === 0) return line(from, to, t);
  const [along, target] = [from, to].map((latent, i) => Array.from(latent, (value) => value / lengths[i]));
  const cosine = dot(along, target);
  let aside = target.map((value, i) => value - cosine * along[i]);
  const sine = Math.hypot(...aside);
  if (sine < PARALLEL) {
    if (cosine > 0 || along.length === 1) return line(from, to, t);
    aside = perpendicular(along);
  }
  const angle = t * Math.atan2(sine, cosine);
  const length = lengths[0] + t * (lengths[1] - lengths[0]);
  const [a, b] = [length * Math.cos(angle), (length * Math.sin(angle)) / Math.hypot(...aside)];
  return from.map((_, i) => a * along[i] + b * aside[i]);
}

/** A neighbour of a latent: rotated towards another by `distance`, from 0 (itself) to 1 (a right angle). */
export function near(latent, towards, distance) {
  const angle = (distance * Math.PI) / 2;
  return onShell(latent.map((value, i) => Math.cos(angle) * value + Math.sin(angle) * towards[i]));
}

/** a − b + c: the arithmetic of Radford et al. 2016, section 6.3, brought back to the shell. */
export const arithmetic = (a, b, c) => onShell(a.map((value, i) => value - b[i] + c[i]));

/** A latent of length √Z: those that a generator was trained on lie near this shell, and a sum of them does not. */
export function onShell(latent) {
  const length = Math.hypot(...latent);
  return length === 0 ? latent : latent.map((value) => (value * Math.sqrt(latent.length)) / length);
}

const PARALLEL = 1e-6; // below this sine two latents span no plane

const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);

const line = (from, to, t) => from.map((value, i) => (1 - t) * value + t * to[i]);

/** A vector perpendicular to `unit`: the axis of its smallest number, projected. */
function perpendicular(unit) {
  const sizes = unit.map(Math.abs);
  const least = sizes.indexOf(Math.min(...sizes));
  return unit.map((value, i) => (i === least ? 1 : 0) - unit[least] * value);
}

function pointInDisc(uniform) {
  for (;;) {
    const x = 2 * uniform() - 1;
    const y = 2 * uniform() - 1;
    const square = x * x + y * y;
    if (square < 1 && square > 0) return [x, y];
  }
}

/** MT19937 of Matsumoto and Nishimura 1998: returns a function that returns the next 32 bits. */
function mersenneTwister(seed) {
  const state = new Uint32Array(624);
  state[0] = seed;
  for (let i = 1; i < 624; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  let next = 624;
  return () => {
    if (next === 624) {
      twist(state);
      next = 0;
    }
    let y = state[next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}

function twist(state) {
  for (let i = 0; i < 624; i++) {
    const y = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
    state[i] = state[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
  }
}
