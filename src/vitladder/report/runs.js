// The table of runs: its heads sort it, a box filters it.
"use strict";
(() => {
  const make = (name, properties = {}) => Object.assign(document.createElement(name), properties);
  const table = document.querySelector("table.sortable");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const valueOf = (row, at) => {
    const number = row.cells[at].dataset.value;
    return number === undefined ? null : Number(number);
  };
  [...table.tHead.rows[0].cells].forEach((head, at) => {
    const button = make("button", { type: "button", textContent: head.textContent });
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const numeric = rows.some((row) => valueOf(row, at) !== null);
      const compare = (a, b) => {
        if (!numeric) return a.cells[at].textContent.localeCompare(b.cells[at].textContent) * (down ? -1 : 1);
        const [x, y] = [valueOf(a, at), valueOf(b, at)];
        if (x === null || y === null) return (x === null) - (y === null);  // unknown ones last
        return down ? y - x : x - y;
      };
      body.append(...rows.sort(compare));
    });
    head.replaceChildren(button);
  });
  const box = document.getElementById("filter");
  const count = document.getElementById("filtered");
  box.closest(".filter").hidden = false;
  box.addEventListener("input", () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = rows.filter((row) => {
      const text = [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      return !row.hidden;
    });
    count.textContent = `${shown.length} of ${rows.length} runs`;
  });
})();
