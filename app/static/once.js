// A form is sent once, however often Enter or its button is pressed while the answer is on its way.
for (const form of document.querySelectorAll("form.recipe")) {
  let sent = false;
  form.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
  });
  addEventListener("pageshow", () => (sent = false)); // the page is back from the browser's memory
}
