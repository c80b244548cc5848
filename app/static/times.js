// Times in the reader's zone: the exact one on hover, and "3 minutes ago" that goes on counting. Without this file the
// server's text stands, with the time in UTC on hover.
const language = document.documentElement.lang;
const exact = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "long" });
const relative = new Intl.RelativeTimeFormat(language, { style: "short", numeric: "always" });
const UNITS = [
  ["second", 60],
  ["minute", 60],
  ["hour", 24],
  ["day", Infinity],
];

function ago(moment) {
  let count = (moment - Date.now()) / 1000;
  for (const [unit, size] of UNITS) {
    if (Math.abs(count) < size * 1.5) return relative.format(Math.round(count), unit);
    count /= size;
  }
}

function tell(root) {
  for (const element of root.querySelectorAll("time[data-ago]")) {
    const moment = new Date(element.dateTime);
    const text = ago(moment);
    if (element.textContent !== text) element.textContent = text;
    const title = exact.format(moment);
    if (element.title !== title) element.title = title;
  }
}

tell(document);
setInterval(() => document.hidden || tell(document), 20_000);
// fragments that live.js puts in place
new MutationObserver((changes) => {
  for (const { addedNodes } of changes)
    for (const node of addedNodes) if (node.nodeType === Node.ELEMENT_NODE && node.parentElement) tell(node.parentElement);
}).observe(document.getElementById("main"), { childList: true, subtree: true });
