// Shift-click on a column's title sorts by it after the column that the table is sorted by already.
for (const link of document.querySelectorAll("a[data-sort]")) {
  link.addEventListener("click", (event) => {
    const address = new URL(location.href);
    const sorted = address.searchParams.get("sort");
    if (!event.shiftKey || !sorted) return;
    event.preventDefault();
    const key = link.dataset.sort;
    const keys = sorted.split(",");
    const falls = keys.includes(`-${key}`);
    const others = keys.filter((item) => item.replace(/^-/, "") !== key);
    address.searchParams.set("sort", [...others, falls ? key : `-${key}`].join(","));
    address.searchParams.delete("offset");
    location.href = address;
  });
}
