// What the page says: a line at the bottom, or in the dialog while that is open; and a count of seconds to a retry.

const FADES = 5000; // milliseconds

const dialog = document.getElementById("one");
const place = () => (dialog.open ? dialog : document).querySelector(".toast"); // a modal dialog hides the rest of the page
let fading = 0;

/**
 * @param {string} text
 * @param {"done" | "note" | "wait" | "wrong"} kind "done" is for screen readers only, "note" fades
 * @param {{ label: string, act: () => void }} [button]
 */
export function say(text, kind, button) {
  if (kind === "done" && text && place().dataset.kind === "note") return; // which is still being read
  clearTimeout(fading);
  for (const toast of document.querySelectorAll(".toast")) {
    const isHere = toast === place();
    toast.querySelector(".status").textContent = isHere ? text : "";
    toast.querySelector(".count").textContent = "";
    toast.dataset.kind = isHere && text ? kind : "done";
    const act = toast.querySelector(".act");
    act.hidden = !(isHere && button);
    act.textContent = button?.label ?? "";
    act.onclick = button ? () => (quiet(), button.act()) : null;
  }
  if (kind === "note") fading = setTimeout(quiet, button ? 2 * FADES : FADES);
}

/** Take back what was said. */
export const quiet = () => say("", "done");

/** Take back that the server is waited for. */
export function stopWaiting() {
  if (place().dataset.kind === "wait") quiet();
}

/**
 * Count seconds down; resolves at the end, or as soon as the person wants to try now.
 * @param {string} text @param {number} seconds @param {AbortSignal} signal
 */
export function countDown(text, seconds, signal) {
  return new Promise((resolve, reject) => {
    const end = Date.now() + 1000 * seconds;
    const finish = (settle) => (clearInterval(timer), settle());
    const count = () => {
      const left = Math.ceil((end - Date.now()) / 1000);
      place().querySelector(".count").textContent = `Trying again in ${Math.max(0, left)} s.`;
      if (left <= 0) finish(resolve);
    };
    say(text, "wait", { label: "Try now", act: () => finish(resolve) });
    const timer = setInterval(count, 250);
    signal.addEventListener("abort", () => finish(() => reject(signal.reason)), { once: true });
    count();
  });
}
