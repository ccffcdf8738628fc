// Latents: the same numbers from a seed as the server draws, and ways from some to others.
// A latent is a Float32Array of Z numbers, from a standard normal.

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
    latent[i] = y * scale; // NumPy hands out the second of a pair first
    if (i + 1 < size) latent[i + 1] = x * scale;
  }
  return latent;
}

/** A seed that nobody has chosen. */
export const randomSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

/**
 * The point at `t` (0 … 1) of the arc from one latent to another (slerp): halfway between two the straight line
 * leaves the shell on which a normal distribution in many dimensions lies, and with it what the model has learned.
 */
export function between(from, to, t) {
  const angle = Math.acos(Math.max(-1, Math.min(1, dot(from, to) / Math.sqrt(dot(from, from) * dot(to, to)))));
  const sine = Math.sin(angle);
  const [a, b] = sine > 1e-6 ? [Math.sin((1 - t) * angle) / sine, Math.sin(t * angle) / sine] : [1 - t, t];
  return from.map((value, i) => a * value + b * to[i]);
}

/** A neighbour of a latent: turned towards another one by `distance`, from 0 (itself) to 1 (nothing left of it). */
export function near(latent, towards, distance) {
  const angle = (distance * Math.PI) / 2;
  return latent.map((value, i) => Math.cos(angle) * value + Math.sin(angle) * towards[i]);
}

/** a − b + c, as Radford et al. 2016 take the glasses from one face to another. */
export const arithmetic = (a, b, c) => a.map((value, i) => value - b[i] + c[i]);

const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);

function pointInDisc(uniform) {
  for (;;) {
    const x = 2 * uniform() - 1;
    const y = 2 * uniform() - 1;
    const square = x * x + y * y;
    if (square < 1 && square > 0) return [x, y];
  }
}

/** MT19937 of Matsumoto and Nishimura: a function that returns the next 32 bits. */
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
