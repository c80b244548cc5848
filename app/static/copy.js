// A button with data-copy="id" copies that element's text. Without this file there is no button, and the text is
// selected by hand; so it is where the browser gives no clipboard (plain HTTP of another machine).
for (const button of document.querySelectorAll("button[data-copy]")) {
  const source = document.getElementById(button.dataset.copy);
  const name = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.textContent);
      say(button.dataset.copied);
    } catch {
      getSelection().selectAllChildren(source);
      say(button.dataset.selected);
    }
  });

  function say(text) {
    button.textContent = text;
    setTimeout(() => (button.textContent = name), 2500);
  }
}
