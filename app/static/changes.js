// Marks what differs from the parent (or the defaults), offers the parent's value back, and says it beside each group's
// title. Without this file the marks are as the server made them.
const NAMED = 3; // changed fields that a title names, as app/forms.py does
const form = document.querySelector("form.recipe");

const input = (field) => form.elements[field.dataset.field];
const value = (field) => {
  const element = input(field);
  return element.type === "checkbox" ? (element.checked ? "on" : "") : element.value.trim();
};
const parts = (text) => text.split(/[\s,，、]+/).filter(Boolean).join(",");

function alike(one, other) {
  if (one === other) return true;
  if (one && other && Number(one) === Number(other)) return true;
  return parts(one) === parts(other);
}

function told(field) {
  if (input(field).type === "checkbox") return value(field) ? form.dataset.on : form.dataset.off;
  return value(field) || "–";
}

function words(group) {
  const lead = group.querySelector("[data-lead]");
  if (lead && !value(lead)) return form.dataset.off;
  const changed = [...group.querySelectorAll(".field.changed:not([data-lead])")];
  if (!changed.length) return lead ? form.dataset.on : "";
  const names = changed.slice(0, NAMED).map((field) => `${field.dataset.title} ${told(field)}`);
  if (changed.length > NAMED) names.push("…");
  return form.dataset.changed.replace("{count}", changed.length).replace("{fields}", () => names.join(", "));
}

function mark() {
  for (const field of form.querySelectorAll("[data-field]")) {
    const changed = !alike(value(field), field.dataset.reference);
    field.classList.toggle("changed", changed);
    const parent = field.querySelector(".parent");
    if (parent) parent.hidden = !changed;
  }
  for (const group of form.querySelectorAll("[data-recipe]")) group.querySelector(".what").textContent = words(group);
  form.dispatchEvent(new CustomEvent("marked"));
}

if (form) {
  for (const button of form.querySelectorAll("[data-reset]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const field = button.closest(".field");
      const element = input(field);
      if (element.type === "checkbox") element.checked = field.dataset.reference === "on";
      else element.value = field.dataset.reference;
      if (!element.matches(":disabled")) element.focus(); // the button is about to go
      element.dispatchEvent(new Event("input", { bubbles: true }));
    });
  }
  form.addEventListener("input", mark);
  addEventListener("pageshow", mark); // the browser may have put back what was typed
  mark();
}
