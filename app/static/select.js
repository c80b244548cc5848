// Rows that are ticked: how many, all at once, and what can be done to them shown only then. Without this file the
// boxes and the buttons work all the same.
const bar = document.querySelector("form[data-selection]");
const all = document.querySelector("[data-select-all]");
const boxes = () => [...document.querySelectorAll('input[name="ids"]')];

function tell() {
  const ticked = boxes().filter((box) => box.checked).length;
  bar.hidden = ticked === 0;
  bar.querySelector("[data-count]").textContent = String(ticked);
  all.checked = ticked > 0 && ticked === boxes().length;
  all.indeterminate = ticked > 0 && !all.checked;
}

if (bar && all) {
  all.closest("label").hidden = false;
  all.addEventListener("change", () => {
    for (const box of boxes()) box.checked = all.checked;
    tell();
  });
  document.addEventListener("change", (event) => event.target.matches('input[name="ids"]') && tell());
  tell();
}
