// Without this, the page shows the same: it only hides operations that are not asked for, and opens one that is linked to.
const filter = document.getElementById("filter");
const nothing = document.getElementById("nothing");
const sections = [...document.querySelectorAll("section:not(.reference)")];

function show() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const section of sections) {
    let here = 0;
    for (const operation of section.querySelectorAll(".operation")) {
      const text = `${operation.id} ${operation.firstElementChild.textContent}`.toLowerCase();
      operation.hidden = !words.every((word) => text.includes(word));
      here += operation.hidden ? 0 : 1;
    }
    section.hidden = here === 0;
    shown += here;
  }
  nothing.hidden = shown > 0;
}

function open() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) target.open = true;
}

filter.hidden = false;
filter.addEventListener("input", show);
addEventListener("hashchange", open);
addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== filter) {
    event.preventDefault();
    filter.focus();
  }
});
show();
open();
