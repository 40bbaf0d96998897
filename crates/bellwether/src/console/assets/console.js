// Keeps a page up to date, and says times as the viewer's clock does. Without it every page still shows and does the same.
"use strict";

const when = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

function localTimes(part) {
  for (const time of part.querySelectorAll("time[datetime]")) {
    time.title = time.dateTime.replace("T", " ").replace(/(\.\d+)?Z$/, " UTC");
    time.textContent = when.format(new Date(time.dateTime));
  }
}

// Asking before what cannot be taken back.
document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.ask ?? event.target.dataset.ask;
  if (question && !window.confirm(question)) event.preventDefault();
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  button.textContent = "Copied";
});

// Files go to the API as they are.
for (const form of document.querySelectorAll("form[data-upload]")) {
  const told = form.querySelector("[role=status]");
  const put = async (file) => {
    if (!file) return;
    told.textContent = `${file.name} is on its way`;
    const answer = await fetch(form.dataset.upload + encodeURIComponent(file.name), { method: "PUT", body: file }).catch(() => null);
    const said = await answer?.json().catch(() => null);
    told.textContent = answer?.ok ? `${file.name} is there` : `${file.name} is not there: ${said?.detail ?? "the server did not answer"}`;
    if (answer?.ok) refresh();
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.querySelector("input").addEventListener("change", (event) => put(event.target.files[0]));
  form.addEventListener("dragover", (event) => event.preventDefault());
  form.addEventListener("drop", (event) => { event.preventDefault(); put(event.dataTransfer.files[0]); });
}

// What somebody is writing in is left as it is.
function isInUse(part) {
  if (part.contains(document.activeElement) && document.activeElement.matches("input, textarea, select")) return true;
  return [...part.querySelectorAll("input, textarea, select")].some((field) =>
    field.type === "checkbox" || field.type === "radio" ? field.checked !== field.defaultChecked
      : field.tagName === "SELECT" ? [...field.options].some((option) => option.selected !== option.defaultSelected)
        : field.value !== field.defaultValue);
}

function keepOpen(before, after) {
  for (const details of before.querySelectorAll("details[id]")) {
    const same = after.querySelector(`details[id="${CSS.escape(details.id)}"]`);
    if (same) same.open = details.open;
  }
}

let underWay = null;
async function refresh() {
  if (document.hidden) { refreshWhenSeen = true; return; }
  underWay?.abort();
  underWay = new AbortController();
  let answer;
  try {
    answer = await fetch(location.href, { signal: underWay.signal, headers: { Accept: "text/html" } });
  } catch { return; }
  if (answer.status === 401) { location.reload(); return; }
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-part]")) {
    const fresh = page.querySelector(`[data-part="${part.dataset.part}"]`);
    if (!fresh || isInUse(part) || fresh.outerHTML === sources.get(part)) continue;
    const source = fresh.outerHTML;
    keepOpen(part, fresh);
    localTimes(fresh);
    fresh.classList.add("fresh");
    part.replaceWith(fresh);
    sources.set(fresh, source);
  }
  again();
}

// What each part was when it came, before this script touched it.
const sources = new WeakMap();
let refreshWhenSeen = false;
let waiting = null;
function refreshSoon() {
  clearTimeout(waiting);
  waiting = setTimeout(refresh, 300);
}
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && refreshWhenSeen) { refreshWhenSeen = false; refresh(); }
});

// What has no event, like a run's progress, is looked at every so often for as long as it lasts.
let timer = null;
function again() {
  clearTimeout(timer);
  const seconds = document.querySelector("[data-refresh]")?.dataset.refresh;
  if (seconds) timer = setTimeout(refresh, seconds * 1000);
}

for (const part of document.querySelectorAll("[data-part]")) sources.set(part, part.outerHTML);
localTimes(document);
again();

const live = document.body.dataset.live;
if (live !== undefined) {
  const stream = new URL(`${document.body.dataset.root}api/v1/events/stream`, location.href).href;
  const concerns = (experiment) => live === "" || live === String(experiment);
  const script = new URL("stream.js", document.currentScript.src).href;
  if (window.SharedWorker) {
    // One stream for all pages that the browser shows.
    const worker = new SharedWorker(script, "bellwether");
    worker.port.onmessage = ({ data }) => { if (concerns(data)) refreshSoon(); };
    worker.port.start();
    worker.port.postMessage(stream);
  } else {
    const source = new EventSource(stream);
    const names = ["metric", "configuration", "status", "calculated_metrics"];
    for (const name of names) {
      source.addEventListener(`experiment.${name}.updated`, ({ data }) => { if (concerns(JSON.parse(data).experiment_id)) refreshSoon(); });
    }
  }
}
