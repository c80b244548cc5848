// Says beside the form's button what queueing it would do, as it stands. Without this file the answer comes after the click.
const PAUSE_MS = 400;
const form = document.querySelector("form[data-preview]");
const place = form?.querySelector(".preview");
let turn = 0;
let timer = 0;

async function look() {
  const mine = ++turn;
  try {
    const answer = await fetch(form.dataset.preview, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    const html = await answer.text();
    if (mine !== turn) return;
    place.hidden = !answer.ok;
    if (answer.ok) place.innerHTML = html;
  } catch {
    place.hidden = true; // the server is away: the click will tell
  }
}

if (form) {
  for (const button of form.querySelectorAll("[data-without-script]")) button.hidden = true;
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(look, PAUSE_MS);
  });
  look();
}
