// A file of JSON that is dropped on the text, or chosen, is read into it at once.
const text = document.querySelector("form.recipe textarea[name=json]");
const chosen = document.querySelector("form.recipe input[name=json_file]");

async function read(file) {
  if (!file) return;
  text.value = await file.text();
  if (chosen) chosen.value = ""; // the text is what counts from here on
  text.dispatchEvent(new Event("input", { bubbles: true }));
}

if (text) {
  text.addEventListener("dragover", (event) => event.preventDefault());
  text.addEventListener("drop", (event) => {
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    read(event.dataTransfer.files[0]);
  });
  chosen?.addEventListener("change", () => read(chosen.files[0]));
  read(chosen?.files[0]); // chosen before this file was here
}
