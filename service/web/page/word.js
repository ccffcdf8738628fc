// Sets a word in letters that a model draws: their pictures become ink on nothing, close together on one line.

const GAP = 0.08; // between letters, of their height
const SPACE = 0.35; // of a letter's height
const LEVEL = 24; // alpha below which a pixel is not seen as ink
const QUIET = 0.02; // columns whose ink is less than this share of a full column are no part of a letter

/** Whether a model's classes are single characters, so that words can be set. */
export const isAlphabet = ({ classes }) => classes.length > 1 && classes.every((name) => [...name].length === 1);

/**
 * The classes that spell a word: the character, or its other case.
 * @param {string} word @param {string[]} classes
 * @returns {{ letters: (string | null)[], missing: string[] }} null for a space; and the characters that there are not
 */
export function spell(word, classes) {
  const forms = (one) => [one, one.toUpperCase(), one.toLowerCase(), one.normalize("NFD")[0].toUpperCase()];
  const find = (one) => (/\s/.test(one) ? null : forms(one).find((form) => classes.includes(form)));
  const characters = [...word.normalize("NFC")];
  const letters = characters.map(find);
  return {
    letters: letters.filter((letter) => letter !== undefined),
    missing: [...new Set(characters.filter((_, i) => letters[i] === undefined))],
  };
}

/**
 * A letter's picture as ink: what differs from its background, in one colour, is opaque.
 * @param {HTMLImageElement} image @param {[number, number, number]} colour
 * @returns {{ canvas: HTMLCanvasElement, left: number, right: number, top: number, bottom: number }} and where its ink is
 */
export function inkOf(image, colour) {
  const { width, height } = image;
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, width, height);
  const { data } = pixels;
  const isDark = backgroundOf(data, width, height) < 128;
  const [columns, rows] = [new Float64Array(width), new Float64Array(height)];
  for (let i = 0; i < width * height; i++) {
    const light = (data[4 * i] + data[4 * i + 1] + data[4 * i + 2]) / 3;
    const alpha = isDark ? light : 255 - light;
    data.set([...colour, alpha], 4 * i);
    if (alpha <= LEVEL) continue;
    columns[i % width] += alpha;
    rows[Math.floor(i / width)] += alpha;
  }
  context.putImageData(pixels, 0, 0);
  const [left, right] = endsOf(columns, QUIET * 255 * height);
  const [top, bottom] = endsOf(rows, QUIET * 255 * width);
  return { canvas, left, right, top, bottom };
}

/** The first place with more than `least`, and that after the last one. */
function endsOf(sums, least) {
  const inked = [...sums.keys()].filter((at) => sums[at] > least);
  return [inked[0] ?? 0, (inked.at(-1) ?? sums.length - 1) + 1];
}

/** The mean level of the picture's edge. */
function backgroundOf(data, width, height) {
  let [sum, count] = [0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x += y % (height - 1) ? width - 1 : 1) {
      sum += data[4 * (y * width + x)];
      count++;
    }
  }
  return sum / count;
}

/**
 * Set letters on a line.
 * @param {(ReturnType<typeof inkOf> | null)[]} letters null for a space
 * @param {number} scale of the letters' pixels
 * @param {(typeof letters)[]} [frames] of a word that changes: it has room for all of them, so that nothing jumps
 * @returns {HTMLCanvasElement}
 */
export function setWord(letters, scale, frames = [letters]) {
  const widths = letters.map((_, i) => Math.max(...frames.map((frame) => widthOf(frame[i], letters))));
  const inks = frames.flat().filter(Boolean);
  const [top, bottom] = [Math.min(...inks.map((ink) => ink.top)), Math.max(...inks.map((ink) => ink.bottom))];
  const gap = Math.round(GAP * heightOf(letters));
  const width = widths.reduce((sum, one) => sum + one + gap, gap);
  const height = bottom - top + 2 * gap;
  const canvas = Object.assign(document.createElement("canvas"), { width: scale * width, height: scale * height });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.scale(scale, scale);
  let x = gap;
  letters.forEach((letter, i) => {
    if (letter) {
      const { canvas: ink, left, right } = letter;
      const size = [right - left, bottom - top];
      context.drawImage(ink, left, top, ...size, x + (widths[i] - size[0]) / 2, gap, ...size);
    }
    x += widths[i] + gap;
  });
  return canvas;
}

const heightOf = (letters) => letters.find(Boolean).canvas.height;
const widthOf = (letter, letters) => (letter ? letter.right - letter.left : Math.round(SPACE * heightOf(letters)));

/** @param {HTMLCanvasElement} canvas @returns {Promise<Blob>} a PNG */
export const pngOf = (canvas) => new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
