// A walk as a film, which this browser encodes while it plays the frames once, in their time.

const BITS = 8e6; // a second: a loop of some seconds stays below 6 MB
const KINDS = [
  // H.264 first: it is what phones play, and what apps take
  { type: "video/mp4;codecs=avc1.42E01F", extension: "mp4", name: "MP4" },
  { type: "video/mp4", extension: "mp4", name: "MP4" },
  { type: "video/webm;codecs=vp9", extension: "webm", name: "WebM" },
  { type: "video/webm", extension: "webm", name: "WebM" },
];

const canCapture = "captureStream" in HTMLCanvasElement.prototype && "MediaRecorder" in window;

/** The kind of film that this browser makes; undefined if it makes none. */
export const filmKind = canCapture ? KINDS.find(({ type }) => MediaRecorder.isTypeSupported(type)) : undefined;

/**
 * Film frames, each for so many milliseconds; it takes as long as they play.
 * @param {CanvasImageSource[]} frames @param {number} milliseconds of a frame
 * @param {{ scale: number, isCrisp: boolean, signal: AbortSignal }} how it is enlarged, and what ends it early
 * @returns {Promise<Blob>}
 */
export async function film(frames, milliseconds, { scale, isCrisp, signal }) {
  const even = (side) => 2 * Math.ceil((side * scale) / 2); // which H.264 needs
  const canvas = Object.assign(document.createElement("canvas"), { width: even(frames[0].width), height: even(frames[0].height) });
  const context = canvas.getContext("2d", { alpha: false });
  Object.assign(context, { imageSmoothingEnabled: !isCrisp, imageSmoothingQuality: "high", fillStyle: "white" });
  const paint = (frame) => {
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(frame, 0, 0, canvas.width, canvas.height);
  };
  paint(frames[0]);
  const stream = canvas.captureStream();
  const recorder = new MediaRecorder(stream, { mimeType: filmKind.type, videoBitsPerSecond: BITS });
  const parts = [];
  recorder.addEventListener("dataavailable", ({ data }) => parts.push(data));
  const ended = new Promise((resolve, reject) => {
    recorder.addEventListener("stop", resolve);
    recorder.addEventListener("error", () => reject(new Error("This browser could not encode the film.")));
  });
  const started = new Promise((resolve) => recorder.addEventListener("start", resolve, { once: true }));
  recorder.start();
  try {
    await Promise.race([started, ended]);
    await play(frames, milliseconds, paint, signal);
  } finally {
    if (recorder.state !== "inactive") recorder.stop();
    stream.getTracks().forEach((track) => track.stop());
  }
  await ended;
  return new Blob(parts, { type: filmKind.type.split(";")[0] });
}

/** Paint each frame for its time, by the clock, so that a slow machine drops frames rather than slow the film. */
function play(frames, milliseconds, paint, signal) {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const tick = () => {
      const at = Math.floor((performance.now() - began) / milliseconds);
      if (signal.aborted) return reject(signal.reason);
      if (at >= frames.length) return resolve();
      paint(frames[at]); // each time, as a frame that is not painted anew is not captured
      return requestAnimationFrame(tick);
    };
    tick();
  });
}
