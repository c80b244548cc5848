// One connection over which a page that moves is told what is new (data-stream), for live.js, charts.js and log.js; while
// it stands they do not ask. It begins at the cursor that the page was written with, and goes on from the last one that
// came: nothing is sent twice. Without it, or when it breaks for good, they ask as they would without this file.
const source = document.querySelector("[data-stream]");
let stream = null;
let open = false;
let cursor = source?.dataset.cursor ?? "";

export function streaming() {
  return open;
}

// Calls `heard` with the data of each message of this kind, and the cursor behind it.
export function onStream(kind, heard) {
  document.addEventListener(`stream:${kind}`, (event) => heard(event.detail.data, event.detail.cursor));
}

// A browser keeps few connections to one server: a page that nobody sees has none.
function toggle() {
  if (document.hidden) stop();
  else if (stream === null) start();
}

function start() {
  stream = new EventSource(`${source.dataset.stream}?after=${encodeURIComponent(cursor)}`);
  stream.onopen = () => (open = true);
  stream.onerror = () => (open = false); // it tries again by itself, unless it was refused
  for (const kind of ["news", "status"]) stream.addEventListener(kind, (event) => tell(kind, event));
  stream.addEventListener("done", () => {
    stop();
    document.removeEventListener("visibilitychange", toggle);
  });
}

function tell(kind, event) {
  cursor = event.lastEventId || cursor;
  const detail = { data: JSON.parse(event.data), cursor };
  document.dispatchEvent(new CustomEvent(`stream:${kind}`, { detail }));
}

function stop() {
  stream?.close();
  stream = null;
  open = false;
}

if (source && "EventSource" in window) {
  document.addEventListener("visibilitychange", toggle);
  toggle();
}
