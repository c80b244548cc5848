// Refreshes every element with data-live="address": fetches the fragment and puts it in place when it has changed.
// By the page's stream, where it has one (data-live-stream), instead. Slower while nothing happens, not at all while the tab is hidden. Without this file pages work, and are reloaded by hand.
import { onStream, streaming } from "./stream.js";

const FAST_MS = 1000;
const SLOW_MS = 5000;

for (const element of document.querySelectorAll("[data-live]")) {
  watch(element);
}

function watch(element) {
  let shown = null;
  let done = element.querySelector("[data-live-done]") !== null;

  async function look() {
    let pause = SLOW_MS;
    if (!document.hidden && !(streaming() && "liveStream" in element.dataset)) {
      try {
        const answer = await fetch(element.dataset.live, { headers: { Accept: "text/html" } });
        if (answer.ok) {
          const html = await answer.text();
          if (shown !== null && html !== shown) pause = FAST_MS;
          show(html);
          if (element.querySelector("progress")) pause = FAST_MS;
        }
        element.classList.toggle("stale", !answer.ok);
      } catch {
        element.classList.add("stale"); // the server is away: what is shown may be old, and looks so
      }
    }
    if (!done) setTimeout(look, pause);
  }

  function show(html) {
    if (html !== shown) replace(element, html);
    shown = html;
    const over = element.querySelector("[data-live-done]") !== null;
    if (over && !done && "liveReload" in element.dataset) location.reload();
    done = over;
    element.classList.remove("stale");
  }

  if ("liveStream" in element.dataset) onStream("status", show);
  if (!done) setTimeout(look, FAST_MS);
}

function replace(element, html) {
  const active = element.contains(document.activeElement) ? document.activeElement : null;
  if (active?.matches("input:not([type=checkbox]), textarea, select")) return;
  const open = [...element.querySelectorAll("details")].map((item) => item.open);
  const ticked = new Set([...element.querySelectorAll("input[type=checkbox]:checked")].map((box) => box.value));
  const focused = active && told(active);
  element.innerHTML = html;
  element.querySelectorAll("details").forEach((item, index) => (item.open = open[index] ?? item.open));
  for (const box of element.querySelectorAll("input[type=checkbox]")) box.checked = ticked.has(box.value);
  const same = active && [...element.querySelectorAll(active.localName)].find((item) => told(item) === focused);
  same?.focus({ preventScroll: true }); // who goes by the keyboard stays where they are
}

// What tells a link, button, box or summary from the others of its kind.
function told(item) {
  const names = ["id", "href", "name", "value"].map((name) => item.getAttribute(name));
  return JSON.stringify([names, item.form?.getAttribute("action"), item.localName === "summary" && item.textContent]);
}
