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

// Files go to the API as they are. The form may be replaced by a later one of the same page at any time.
async function put(form, file) {
  if (!file) return;
  const tell = (text) => { for (const told of document.querySelectorAll("form[data-upload] [role=status]")) told.textContent = text; };
  tell(`${file.name} is on its way`);
  const answer = await fetch(form.dataset.upload + encodeURIComponent(file.name), { method: "PUT", body: file }).catch(() => null);
  const said = await answer?.json().catch(() => null);
  form.reset();
  if (answer?.ok) await refresh();
  tell(answer?.ok ? `${file.name} is there` : `${file.name} is not there: ${said?.detail ?? "the server did not answer"}`);
}
const uploadOf = (event) => event.target.closest?.("form[data-upload]");
document.addEventListener("change", (event) => { if (uploadOf(event)) put(uploadOf(event), event.target.files[0]); });
document.addEventListener("submit", (event) => { if (uploadOf(event)) event.preventDefault(); });
document.addEventListener("dragover", (event) => { if (uploadOf(event)) event.preventDefault(); });
document.addEventListener("drop", (event) => {
  if (!uploadOf(event)) return;
  event.preventDefault();
  put(uploadOf(event), event.dataTransfer.files[0]);
});

// Whether somebody has changed a field since it came.
function isChanged(field) {
  if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
  if (field.tagName !== "SELECT") return field.value !== field.defaultValue;
  return field.selectedIndex !== Math.max(0, [...field.options].findIndex((option) => option.defaultSelected));
}

// What somebody is writing in is left as it is.
function isInUse(part) {
  const fields = [...part.querySelectorAll("input:not([type=file]), textarea, select")];
  return fields.some((field) => field === document.activeElement || isChanged(field));
}

// A form for files stays the same one, with what it says of the last file.
function keepForms(before, after) {
  for (const form of after.querySelectorAll("form[data-upload]")) {
    const same = before.querySelector(`form[data-upload="${CSS.escape(form.dataset.upload)}"]`);
    if (same) form.replaceWith(same);
  }
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
    keepForms(part, fresh);
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
