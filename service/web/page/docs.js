// The forms of /docs: each sends a request and shows the answer. Without this script they stay hidden.

const SHOWN = 4000; // characters of a text
const HEADERS = ["content-type", "x-model", "x-seed", "x-deterministic", "server-timing", "location", "retry-after"];

const key = () => document.getElementById("key").value.trim();

function requestOf(form) {
  const { path, body } = form.elements;
  const headers = { ...(key() && { "X-API-Key": key() }), ...(body && { "Content-Type": "application/json" }) };
  return [path.value.replace(/^\/+/, ""), { method: form.dataset.method, headers, body: body?.value }];
}

async function show(answer, output) {
  const told = HEADERS.filter((name) => answer.headers.has(name)).map((name) => `${name}: ${answer.headers.get(name)}`);
  const text = Object.assign(document.createElement("pre"), { textContent: [`${answer.status}`, ...told].join("\n") });
  const type = answer.headers.get("content-type") ?? "";
  output.replaceChildren(text);
  if (type.startsWith("image/")) {
    output.append(Object.assign(new Image(), { src: URL.createObjectURL(await answer.blob()), alt: "The answer" }));
  } else if (/json|^text\//.test(type)) {
    const body = await answer.text();
    text.append(`\n\n${body.slice(0, SHOWN)}${body.length > SHOWN ? " …" : ""}`);
  } else {
    const href = URL.createObjectURL(await answer.blob());
    output.append(Object.assign(document.createElement("a"), { href, download: "answer", textContent: "Download the answer" }));
  }
}

async function send(event) {
  event.preventDefault();
  const output = event.target.querySelector("output");
  output.textContent = "…";
  try {
    await show(await fetch(...requestOf(event.target)), output);
  } catch (error) {
    output.textContent = error.message;
  }
}

/** Name a model in the examples that is served here. */
async function nameModel() {
  const answer = await fetch("models");
  if (!answer.ok) return; // it may need a key
  const { default: model } = await answer.json();
  for (const { elements } of document.forms) elements.path.value = elements.path.value.replace("digits@1", model);
}

for (const form of document.forms) {
  form.hidden = false;
  form.addEventListener("submit", send);
}
document.getElementById("access").hidden = false;
nameModel();
