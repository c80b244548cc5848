// A named size of encoder shows its numbers in the fields that it fills in.
const size = document.querySelector("select[data-sizes]");
const FIELDS = ["num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size"];

size?.addEventListener("input", () => {
  const numbers = JSON.parse(size.dataset.sizes)[size.value];
  numbers?.forEach((number, place) => {
    size.form.elements[`encoder.${FIELDS[place]}`].value = number;
  });
});
