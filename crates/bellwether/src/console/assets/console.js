// Keeps a page up to date, and says times as the viewer's clock does. Without it every page still shows and does the same.
"use strict";

const when = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const exactly = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

// Browsers wait with what they show until this was run (`blocking="render"`), lest times move what stands around them.
function localTimes(part) {
  for (const time of part.querySelectorAll("time[datetime]")) {
    time.title = time.dateTime.replace("T", " ").replace(/(\.\d+)?Z$/, " UTC");
    time.textContent = (time.classList.contains("exact") ? exactly : when).format(new Date(time.dateTime));
  }
}

// Asking before what cannot be taken back.
document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.ask ?? event.target.dataset.ask;
  if (question && !window.confirm(question)) event.preventDefault();
  // A second click while the first is under way.
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post") return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
  setTimeout(() => delete form.dataset.sent, 30000);
});
window.addEventListener("pageshow", () => { for (const form of document.forms) delete form.dataset.sent; });

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  button.textContent = "Copied";
});

// Files go to the API as they are. The form may be replaced by a later one of the same page at any time.
async function put(form, chosen) {
  const files = [...chosen];
  if (files.length === 0) return;
  const place = form.dataset.upload;
  const tell = (text) => { for (const told of document.querySelectorAll("form[data-upload] [role=status]")) told.textContent = text; };
  const outcomes = [];
  for (const file of files) {
    tell([...outcomes, `${file.name} is on its way`].join("; "));
    const answer = await fetch(place + encodeURIComponent(file.name), { method: "PUT", body: file }).catch(() => null);
    const said = await answer?.json().catch(() => null);
    const there = answer?.status === 201 ? "is there" : "has taken the place of the one that was there";
    outcomes.push(`${file.name} ${answer?.ok ? there : `is not there: ${said?.detail ?? "the server did not answer"}`}`);
  }
  form.reset();
  await refresh();
  tell(outcomes.join("; "));
}
const uploadOf = (event) => event.target.closest?.("form[data-upload]");
document.addEventListener("change", (event) => { if (uploadOf(event)) put(uploadOf(event), event.target.files); });
document.addEventListener("submit", (event) => { if (uploadOf(event)) event.preventDefault(); });
document.addEventListener("dragover", (event) => { if (uploadOf(event)) event.preventDefault(); });
document.addEventListener("drop", (event) => {
  if (!uploadOf(event)) return;
  event.preventDefault();
  put(uploadOf(event), event.dataTransfer.files);
});

// Whether somebody has changed a field since it came.
function isChanged(field) {
  if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
  if (field.tagName !== "SELECT") return field.value !== field.defaultValue;
  return field.selectedIndex !== Math.max(0, [...field.options].findIndex((option) => option.defaultSelected));
}

// What somebody is writing in, or has sent and is not answered yet, is left as it is.
function isInUse(part) {
  if (part.matches("form[data-sent]") || part.querySelector("form[data-sent]")) return true;
  const fields = [...part.querySelectorAll("input:not([type=file]), textarea, select")];
  return fields.some((field) => field === document.activeElement || isChanged(field));
}

// Where the keyboard is, and how far something was scrolled, stays as it was.
function placeOf(element) {
  for (const name of ["id", "href", "aria-label", "name"]) {
    const value = element?.getAttribute(name);
    if (value) return `${element.tagName.toLowerCase()}[${name}="${CSS.escape(value)}"]`;
  }
  return element?.tagName === "SUMMARY" && element.parentElement.id ? `details[id="${CSS.escape(element.parentElement.id)}"] > summary` : null;
}
function keepPlace(before, after) {
  const scrolled = [...before.querySelectorAll("[aria-label]")].filter((part) => part.scrollLeft || part.scrollTop);
  const places = scrolled.map((part) => [placeOf(part), part.scrollLeft, part.scrollTop]);
  const focused = before.contains(document.activeElement) ? placeOf(document.activeElement) : null;
  return () => {
    for (const [place, left, top] of places) {
      const part = place && after.querySelector(place);
      if (part) [part.scrollLeft, part.scrollTop] = [left, top];
    }
    if (focused) after.querySelector(focused)?.focus({ preventScroll: true });
  };
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
  const mine = new AbortController();
  underWay = mine;
  let text = null;
  try {
    const answer = await fetch(location.href, { signal: mine.signal, headers: { Accept: "text/html" } });
    if (answer.status === 401) { location.reload(); return; }
    if (answer.ok) text = await answer.text();
  } catch { /* The server may answer next time. */ }
  if (underWay !== mine) return;
  if (text !== null) replaceParts(new DOMParser().parseFromString(text, "text/html"));
  again();
}

function replaceParts(page) {
  for (const part of document.querySelectorAll("[data-part]")) {
    const fresh = page.querySelector(`[data-part="${part.dataset.part}"]`);
    if (!fresh || isInUse(part) || sourceOf(fresh) === sources.get(part)) continue;
    const source = sourceOf(fresh);
    keepOpen(part, fresh);
    const restore = keepPlace(part, fresh);
    localTimes(fresh);
    fresh.classList.add("fresh");
    part.replaceWith(fresh);
    restore();
    sources.set(fresh, source);
  }
}

// What each part was when it came, before this script touched it. That each page has another token in its forms is no change.
const sources = new WeakMap();
const sourceOf = (part) => part.outerHTML.replace(/(name="form_token" value=")[^"]*/g, "$1");
let refreshWhenSeen = false;
let waiting = null;
function refreshSoon() {
  clearTimeout(waiting);
  waiting = setTimeout(refresh, 300);
}
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && refreshWhenSeen) { refreshWhenSeen = false; refresh(); }
});

// What has no event, like a run's progress, is looked at every so often for as long as it lasts; all of a live page, where
// pages cannot share a stream.
const live = document.body.dataset.live;
const usual = live !== undefined && !window.SharedWorker ? 30 : null;
let timer = null;
function again() {
  clearTimeout(timer);
  const seconds = document.querySelector("[data-refresh]")?.dataset.refresh ?? usual;
  if (seconds) timer = setTimeout(refresh, seconds * 1000);
}

for (const part of document.querySelectorAll("[data-part]")) sources.set(part, sourceOf(part));
localTimes(document);
again();

if (live !== undefined && window.SharedWorker) {
  // One stream for all pages that the browser shows.
  const worker = new SharedWorker(new URL("stream.js", document.currentScript.src).href, "bellwether");
  worker.port.onmessage = ({ data: experiment }) => {
    // Without one, the stream itself has ended.
    if (experiment === null || live === "" || live === String(experiment)) refreshSoon();
  };
  worker.port.start();
  worker.port.postMessage(new URL(`${document.body.dataset.root}api/v1/events/stream`, location.href).href);
}
