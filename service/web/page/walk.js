// A walk: frames from one picture to another, played forwards and backwards on a canvas.

const PERIOD = 6; // seconds, forwards and backwards

export class Walk {
  #frames = [];
  #phase = 0; // 0 … 1, of a period
  #last = 0; // time of the last painting, while it plays
  #running = 0;

  /**
   * @param {{ canvas: HTMLCanvasElement, slider: HTMLInputElement, button: HTMLButtonElement }} parts
   *   the slider goes from 0 to 1
   */
  constructor({ canvas, slider, button }) {
    Object.assign(this, { canvas, slider, button });
    button.addEventListener("click", () => (this.#running ? this.pause() : this.play()));
    slider.addEventListener("input", () => {
      this.pause();
      this.#phase = Math.acos(1 - 2 * slider.valueAsNumber) / (2 * Math.PI);
      this.#paint();
    });
  }

  /** @param {string[]} sources of the frames, two or more */
  async load(sources) {
    this.#frames = await Promise.all(sources.map(decode));
    this.canvas.width = this.#frames[0].width;
    this.canvas.height = this.#frames[0].height;
    this.#paint();
  }

  play() {
    this.pause();
    this.#last = performance.now();
    this.#running = requestAnimationFrame((now) => this.#tick(now));
    this.button.textContent = "Pause";
  }

  pause() {
    cancelAnimationFrame(this.#running);
    this.#running = 0;
    this.button.textContent = "Play";
  }

  #tick(now) {
    this.#phase = (this.#phase + Math.max(0, now - this.#last) / 1000 / PERIOD) % 1;
    this.#last = now;
    this.slider.value = (1 - Math.cos(2 * Math.PI * this.#phase)) / 2; // slow where it turns
    this.#paint();
    this.#running = requestAnimationFrame((then) => this.#tick(then));
  }

  /** Blend the two frames around the slider's position, so that the motion is smooth. */
  #paint() {
    const at = this.slider.valueAsNumber * (this.#frames.length - 1);
    const context = this.canvas.getContext("2d");
    context.globalAlpha = 1;
    context.drawImage(this.#frames[Math.floor(at)], 0, 0);
    context.globalAlpha = at % 1;
    context.drawImage(this.#frames[Math.ceil(at)], 0, 0);
  }
}

async function decode(src) {
  const image = Object.assign(new Image(), { src });
  await image.decode();
  return image;
}
