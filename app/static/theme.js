// The theme's switch without loading the page anew: the cookie is set by the same form, charts hear of it by an event.
// Without this file the button works and the page is loaded again.
const button = document.querySelector("[data-theme-switch]");

button?.addEventListener("click", async (event) => {
  event.preventDefault();
  const form = new FormData();
  form.set("theme", button.value);
  const answer = await fetch(`${document.documentElement.dataset.root}/preferences`, { method: "POST", body: form, headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  // the answer is this page, as the server writes it in the new theme
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const next = page.querySelector("[data-theme-switch]");
  if (!next) return location.reload();
  document.documentElement.dataset.theme = page.documentElement.dataset.theme;
  document.querySelector("meta[name=color-scheme]").content = page.querySelector("meta[name=color-scheme]").content;
  button.value = next.value;
  button.textContent = next.textContent;
  document.dispatchEvent(new Event("themechange"));
});
