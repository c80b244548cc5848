// Shows only some fields of the form: those that are searched for, or those that differ from the parent. Without this
// file all of them are there.
const form = document.querySelector("form.recipe");
const bar = form?.querySelector("[data-needs-script]");
const box = bar?.querySelector("[data-find]");
const toggle = bar?.querySelector("[data-only]");
const said = bar?.querySelector("[role=status]");
const fields = [...(form?.querySelectorAll(".field[data-words]") ?? [])];
const groups = [...(form?.querySelectorAll("details[data-group]") ?? [])];
let only = Boolean(toggle);
let before = null; // which groups were open when all fields were last there

function wanted(field, words) {
  if (words.length) return words.every((word) => field.dataset.words.includes(word));
  if (!only || !field.closest("[data-recipe]")) return true;
  return field.matches(".changed, .wrong") || field.contains(document.activeElement);
}

function show() {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  const narrowed = words.length > 0 || only;
  if (narrowed) before ??= new Map(groups.map((group) => [group, group.open]));
  form.toggleAttribute("data-narrowed", narrowed);
  for (const field of fields) field.hidden = !wanted(field, words);
  for (const group of groups) {
    const some = fields.some((field) => group.contains(field) && !field.hidden);
    const asked = words.length > 0 || (only && group.matches("[data-recipe]"));
    group.hidden = asked && !some;
    if (asked && some) group.open = true;
    else if (!asked && before) group.open = before.get(group);
  }
  if (!narrowed) before = null;
  tell(words.length > 0);
}

function tell(finding) {
  const recipe = fields.filter((field) => finding || field.closest("[data-recipe]"));
  const shown = recipe.filter((field) => !field.hidden).length;
  const text = !shown ? (finding ? said.dataset.none : said.dataset.same) : said.dataset.found;
  const now = finding || only ? text.replace("{shown}", shown).replace("{total}", recipe.length) : "";
  if (said.textContent !== now) said.textContent = now;
  if (!toggle) return;
  toggle.textContent = only ? said.dataset.all : said.dataset.differs;
}

if (bar) {
  bar.hidden = false;
  box.addEventListener("input", (event) => {
    event.stopPropagation(); // no value of the form
    show();
  });
  box.addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault());
  toggle?.addEventListener("click", () => {
    only = !only;
    show();
  });
  form.addEventListener("marked", show);
  show();
}
