// Files that the page reads and writes: text chunks of a PNG, an animated PNG, a zip; and how they leave the page.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const TABLE = Uint32Array.from({ length: 256 }, (_, i) => {
  let word = i;
  for (let bit = 0; bit < 8; bit++) word = word & 1 ? 0xedb88320 ^ (word >>> 1) : word >>> 1;
  return word;
});

/** @param {Uint8Array} bytes @returns {number} CRC-32, as PNG and zip have it */
function crc32(bytes) {
  let word = ~0;
  for (const byte of bytes) word = TABLE[(word ^ byte) & 255] ^ (word >>> 8);
  return ~word >>> 0;
}

/** @returns {Uint8Array} numbers as big-endian words of 32 bits, unless another width is given */
function words(values, { bits = 32, littleEndian = false } = {}) {
  const view = new DataView(new ArrayBuffer((values.length * bits) / 8));
  values.forEach((value, i) => (bits === 32 ? view.setUint32(4 * i, value, littleEndian) : view.setUint16(2 * i, value, littleEndian)));
  return new Uint8Array(view.buffer);
}

const joined = async (...parts) => new Uint8Array(await new Blob(parts).arrayBuffer());
const ascii = (text) => new TextEncoder().encode(text);

/** @param {string} src a data: URL @returns {Promise<Uint8Array>} */
export async function bytesOf(src) {
  return Uint8Array.from(atob(src.slice(src.indexOf(",") + 1)), (one) => one.charCodeAt(0));
}

/** Yield the chunks of a PNG: name and data. @param {Uint8Array} bytes */
function* chunksOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  if (!SIGNATURE.every((byte, i) => bytes[i] === byte)) return;
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    yield [String.fromCharCode(...bytes.subarray(at + 4, at + 8)), bytes.subarray(at + 8, at + 8 + length)];
    at += 12 + length;
  }
}

/** @param {Uint8Array} bytes of a PNG, or of anything else @returns {Record<string, string>} its texts by keyword */
export function textsOf(bytes) {
  const texts = {};
  for (const [name, data] of chunksOf(bytes)) {
    const end = data.indexOf(0);
    const key = new TextDecoder("latin1").decode(data.subarray(0, end));
    if (name === "tEXt") texts[key] = new TextDecoder("latin1").decode(data.subarray(end + 1));
    // keyword, no compression, no language, no translated keyword
    else if (name === "iTXt" && data.subarray(end, end + 5).every((byte) => byte === 0)) {
      texts[key] = new TextDecoder().decode(data.subarray(end + 5));
    }
  }
  return texts;
}

/**
 * Join PNGs of one size and kind to an animated PNG that loops.
 * @param {Uint8Array[]} frames
 * @param {number} milliseconds that each is shown
 * @returns {Promise<Blob>}
 */
export async function animate(frames, milliseconds) {
  const chunk = async (name, ...parts) => {
    const body = await joined(ascii(name), ...parts);
    return [words([body.length - 4]), body, words([crc32(body)])];
  };
  const [[, header]] = chunksOf(frames[0]);
  const size = header.subarray(0, 8);
  const parts = [Uint8Array.from(SIGNATURE), ...(await chunk("IHDR", header)), ...(await chunk("acTL", words([frames.length, 0])))];
  let number = 0;
  for (const [i, frame] of frames.entries()) {
    const delay = words([milliseconds, 1000], { bits: 16 });
    parts.push(...(await chunk("fcTL", words([number++]), size, words([0, 0]), delay, Uint8Array.of(0, 0))));
    for (const [name, data] of chunksOf(frame)) {
      if (name === "IDAT") parts.push(...(await (i ? chunk("fdAT", words([number++]), data) : chunk("IDAT", data))));
    }
  }
  return new Blob([...parts, ...(await chunk("IEND"))], { type: "image/png" });
}

/**
 * A zip of files that are compressed already.
 * @param {[string, Uint8Array][]} files name and content; equal names are numbered
 * @returns {Promise<Blob>}
 */
export async function zip(files) {
  const [bodies, entries] = [[], []];
  let at = 0;
  for (const [path, data] of numbered(files)) {
    const name = ascii(path);
    const half = (...values) => words(values, { bits: 16, littleEndian: true });
    const sizes = words([crc32(data), data.length, data.length], { littleEndian: true });
    const common = await joined(half(20, 0x800, 0, 0, 0x21), sizes, half(name.length, 0)); // UTF-8 names; 1980
    const body = await joined(ascii("PK\x03\x04"), common, name, data);
    const where = words([0, at], { littleEndian: true }); // attributes, and where the file begins
    entries.push(await joined(ascii("PK\x01\x02"), half(20), common, half(0, 0, 0), where, name));
    bodies.push(body);
    at += body.length;
  }
  const size = entries.reduce((total, entry) => total + entry.length, 0);
  const counts = words([0, 0, files.length, files.length], { bits: 16, littleEndian: true });
  const end = await joined(ascii("PK\x05\x06"), counts, words([size, at], { littleEndian: true }), Uint8Array.of(0, 0));
  return new Blob([...bodies, ...entries, end], { type: "application/zip" });
}

function numbered(files) {
  const seen = new Map();
  return files.map(([path, data]) => {
    const count = seen.get(path) ?? 0;
    seen.set(path, count + 1);
    return [count ? path.replace(/(\.\w+)$/, `-${count}$1`) : path, data];
  });
}

/** @param {Blob} blob @param {string} name */
export function save(blob, name) {
  const href = URL.createObjectURL(blob);
  Object.assign(document.createElement("a"), { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

const asFile = (blob, name) => new File([blob], name, { type: blob.type });

/** @returns {boolean} whether this device can pass a file of such a type to another app: phones can */
export const canShare = (type) => navigator.canShare?.({ files: [asFile(new Blob([], { type }), "x")] }) ?? false;

/** Pass a file to another app. */
export async function share(blob, name) {
  try {
    await navigator.share({ files: [asFile(blob, name)] });
  } catch (error) {
    if (error.name !== "AbortError") throw error; // AbortError: the person changed their mind
  }
}
