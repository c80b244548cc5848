// Disables fields that do not count as the form stands, with the reason beside them: the rules are the contract's, put
// on the page by the server, which has the last word. What stands in a disabled field is sent all the same.
const form = document.querySelector("form.recipe");

function value(name) {
  const element = form.elements[name];
  return element.type === "checkbox" ? element.checked : element.value.trim();
}

const same = (actual, wanted) =>
  typeof wanted === "number" ? actual !== "" && Number(actual) === wanted : actual === wanted;

function holds(condition) {
  const actual = value(condition.field);
  return condition.is
    ? condition.is.some((wanted) => same(actual, wanted))
    : !condition.not.some((unwanted) => same(actual, unwanted));
}

// what is refused can be taken back only while its field is open; so can what is wrong
function locks(node, clause) {
  if (node.matches(".wrong") || node.querySelector(".wrong")) return false;
  if (!clause.refused) return true;
  const element = form.elements[node.dataset.field];
  return (element.type === "checkbox" ? (element.checked ? "on" : "") : element.value.trim()) === node.dataset.neutral;
}

function look() {
  for (const node of form.querySelectorAll("[data-rule]")) {
    const clause = JSON.parse(node.dataset.rule).find((each) => !each.any.some(holds));
    const locked = Boolean(clause) && locks(node, clause);
    const reason = node.querySelector(".reason");
    reason.hidden = !clause;
    if (clause) reason.textContent = clause.reason;
    node.classList.toggle("idle", Boolean(clause));
    if (node.matches("fieldset")) node.disabled = locked;
    else for (const element of form.querySelectorAll(`[name^="${node.dataset.field}"]`)) {
      if ([node.dataset.field, `${node.dataset.field}_shown`].includes(element.name)) element.disabled = locked;
    }
  }
}

if (form) {
  form.addEventListener("input", look);
  form.addEventListener("formdata", (event) => {
    for (const element of form.elements) {
      if (!element.name || !element.matches("input:disabled, select:disabled")) continue;
      if (element.type !== "checkbox" || element.checked) event.formData.append(element.name, element.value);
    }
  });
  addEventListener("pageshow", look); // the browser may have put back what was typed
  look();
}
