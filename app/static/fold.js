// Groups of the form that a person opened stay open in this browser; all of them open and close at once.
const KEY = "pairboard.form.open";
const form = document.querySelector("form.recipe");
const groups = [...(form?.querySelectorAll("details[data-group]") ?? [])];

function kept() {
  try {
    return new Set(JSON.parse(localStorage.getItem(KEY) ?? "[]"));
  } catch {
    return new Set(); // storage is off, or something else wrote there
  }
}

function keep(group, open) {
  const names = kept();
  if (open) names.add(group.dataset.group);
  else names.delete(group.dataset.group);
  try {
    localStorage.setItem(KEY, JSON.stringify([...names]));
  } catch {
    // it opens and closes all the same
  }
}

function all(open) {
  for (const group of groups) {
    if (group.hidden) continue;
    group.open = open;
    keep(group, open);
  }
}

if (form) {
  const names = kept();
  for (const group of groups) {
    if (names.has(group.dataset.group)) group.open = true;
    group.querySelector("summary").addEventListener("click", () => {
      if (!form.hasAttribute("data-narrowed")) keep(group, !group.open);
    });
  }
  // a link to a field, as of an error, opens the group around it
  const reveal = () => {
    const place = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const group = place?.closest("details");
    if (group) group.open = true;
    if (place?.matches("input, select, textarea")) place.focus();
  };
  addEventListener("hashchange", reveal);
  document.addEventListener("click", (event) => event.target.closest('a[href^="#f-"]') && setTimeout(reveal));
  form.querySelector("[data-open-all]")?.addEventListener("click", () => all(true));
  form.querySelector("[data-close-all]")?.addEventListener("click", () => all(false));
}
