// Single keys, for those who know the pages: templates/_keys.html lists them. Never while something is typed, never
// with Ctrl, Alt or Meta, and not at all once they are switched off in this browser (WCAG 2.1.4).
const OFF = "pairboard-keys-off";
const dialog = document.getElementById("keys");
const isOn = () => localStorage.getItem(OFF) === null;
const rows = () => [...(document.querySelector(".board") ?? document).querySelectorAll("tbody tr:has(th a, td a)")];
let current = null; // the row's link: a row itself is replaced while its run works

const DOES = {
  "/": () => (document.querySelector("main [type=search]") ?? document.getElementById("q"))?.focus(),
  n: () => document.querySelector("a[data-key-new]")?.click(),
  j: () => move(1),
  k: () => move(-1),
  x: () => row()?.querySelector("input[type=checkbox]")?.click(),
  c: () => compare(),
  "?": () => dialog.showModal(),
};

function row() {
  return rows().find((item) => linkOf(item)?.href === current);
}

function linkOf(item) {
  return item.querySelector("th a, td a");
}

function move(by) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(row());
  const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + by))];
  current = linkOf(next).href;
  linkOf(next).focus(); // Enter opens it, and a screen reader says where it is
  next.scrollIntoView({ block: "nearest" });
}

function compare() {
  const button = document.querySelector("form[data-selection] button[value=compare]");
  if (button && document.querySelector("input[name=ids]:checked")) button.click();
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable], dialog");
  if (typing || event.ctrlKey || event.altKey || event.metaKey || event.isComposing || !isOn()) return;
  if (!(event.key in DOES)) return;
  event.preventDefault();
  DOES[event.key]();
});

document.querySelector("[data-keys-open]").addEventListener("click", (event) => {
  event.preventDefault();
  dialog.showModal();
});

const box = dialog.querySelector("[data-keys-on]");
box.checked = isOn();
box.addEventListener("change", () => (box.checked ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, "1")));
