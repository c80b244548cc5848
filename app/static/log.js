// Follows a log while its run works: asks for what came since (a cursor), never for the whole again. Without this file
// the page shows what there was when it was opened.
import { onStream, streaming } from "./stream.js";

const PAUSE_MS = 2000;
const MOST_LINES = 5000;

for (const list of document.querySelectorAll("[data-log]")) follow(list);

function follow(list) {
  let cursor = list.dataset.cursor;

  async function look() {
    let active = true;
    if (!document.hidden && !(list.dataset.run && streaming())) {
      try {
        const answer = await fetch(`${list.dataset.log}&limit=${MOST_LINES}&after=${encodeURIComponent(cursor)}`, { headers: { Accept: "application/json" } });
        if (answer.ok) {
          const log = await answer.json();
          cursor = log.cursor;
          active = log.active;
          add(log.lines);
        }
      } catch {
        // the server is away: live.js shows it; the next question asks for what is missing
      }
    }
    if (active) setTimeout(look, PAUSE_MS);
  }

  function add(lines) {
    const last = Number(list.lastElementChild?.firstElementChild.textContent ?? 0);
    lines = lines.filter((line) => line.number > last);
    if (lines.length === 0) return;
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 30;
    list.append(...lines.map(row));
    while (list.children.length > MOST_LINES) list.firstElementChild.remove();
    if (atEnd) list.scrollTop = list.scrollHeight;
  }

  function row(line) {
    const item = document.createElement("li");
    const place = document.createElement("a");
    const said = document.createElement("span");
    item.className = line.wrong ? "wrong" : line.level;
    const whole = list.dataset.whole;
    if (!whole) item.id = `L${line.number}`;
    place.href = whole ? `${whole}&line=${line.number}#L${line.number}` : `#L${line.number}`;
    place.textContent = line.number;
    if (line.level) {
      const level = document.createElement("b");
      level.textContent = line.level;
      said.append(level, " ");
    }
    said.append(line.text);
    item.append(place, " ", said);
    return item;
  }

  setTimeout(look, PAUSE_MS);
  if (list.dataset.run) {
    onStream("news", (news, seen) => {
      const run = seen.split(",").map((part) => part.split(":")).find((part) => part[0] === list.dataset.run);
      const told = news.logs.find((log) => String(log.run) === list.dataset.run);
      if (run) cursor = run.slice(1).join(":");
      if (told && told.attempt !== Number(list.dataset.attempt)) {
        list.replaceChildren(); // the run was taken up anew
        list.dataset.attempt = told.attempt;
        for (const name of ["log", "whole"]) list.dataset[name] = list.dataset[name].replace(/attempt=\d+/, `attempt=${told.attempt}`);
      }
      add(told?.lines ?? []);
    });
  }
}
