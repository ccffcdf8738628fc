// A walk: the frames of a loop, played on a canvas as an animation file plays them.

const PLAYED = "Pause";
const PAUSED = "Play";

export class Walk {
  /** @type {CanvasImageSource[]} */
  frames = [];
  milliseconds = 0; // that each frame is shown
  #began = 0; // when frame 0 was shown, while it plays
  #running = 0;

  /** @param {{ canvas: HTMLCanvasElement, slider: HTMLInputElement, button: HTMLButtonElement }} parts */
  constructor({ canvas, slider, button }) {
    Object.assign(this, { canvas, slider, button });
    button.addEventListener("click", () => (this.#running ? this.pause() : this.play()));
    slider.addEventListener("input", () => {
      this.pause();
      this.#paint();
    });
  }

  /** @param {CanvasImageSource[]} frames @param {number} seconds of the whole loop */
  load(frames, seconds) {
    this.pause();
    [this.frames, this.milliseconds] = [frames, (1000 * seconds) / frames.length];
    Object.assign(this.canvas, { width: frames[0].width, height: frames[0].height });
    Object.assign(this.slider, { min: 0, max: frames.length - 1, step: 1, value: 0 });
    this.#paint();
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) this.play();
  }

  play() {
    this.pause();
    this.#began = performance.now() - this.slider.valueAsNumber * this.milliseconds;
    this.#running = requestAnimationFrame(() => this.#tick());
    this.button.textContent = PLAYED;
  }

  pause() {
    cancelAnimationFrame(this.#running);
    this.#running = 0;
    this.button.textContent = PAUSED;
  }

  #tick() {
    const at = Math.floor(Math.max(0, performance.now() - this.#began) / this.milliseconds) % this.frames.length;
    if (this.slider.valueAsNumber !== at) {
      this.slider.value = at;
      this.#paint();
    }
    this.#running = requestAnimationFrame(() => this.#tick());
  }

  #paint() {
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.drawImage(this.frames[this.slider.valueAsNumber], 0, 0);
  }
}

/** @param {string} src @returns {Promise<HTMLImageElement>} */
export async function decode(src) {
  const image = Object.assign(new Image(), { src });
  await image.decode();
  return image;
}
