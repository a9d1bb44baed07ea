// Tables that can be sorted by their heads and filtered by words. Without this script they are whole, in the order of the page.
"use strict";

(function () {
  const LONG = 12; // rows from which a filter is of use

  function order(cell) {
    if (!cell) return { number: NaN, text: "" };
    const given = cell.dataset.order;
    return { number: given === undefined ? NaN : Number(given), text: cell.textContent.trim() };
  }

  function before(a, b) {
    const known = [a, b].map((value) => !Number.isNaN(value.number));
    if (known[0] && known[1]) return a.number - b.number;
    if (known[0] !== known[1]) return known[0] ? -1 : 1; // what has no number stands last, whatever the direction
    return a.text.localeCompare(b.text, "en", { numeric: true });
  }

  function sort(table, column, head) {
    const down = head.getAttribute("aria-sort") === "ascending";
    const sign = down ? -1 : 1;
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => ({ row, key: order(row.cells[column]) }));
    rows.sort((a, b) => {
      const missing = Number.isNaN(a.key.number) !== Number.isNaN(b.key.number);
      return (missing ? 1 : sign) * before(a.key, b.key);
    });
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...rows.map((entry) => entry.row));
  }

  function makeSortable(table) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, column, head));
      head.append(button);
    });
  }

  function makeFilter(table) {
    const box = table.closest(".scroll");
    const label = document.createElement("label");
    const input = document.createElement("input");
    const count = document.createElement("output");
    label.className = "filter";
    input.type = "search";
    label.append("Filter rows ", input, count);
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of table.tBodies[0].rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        if (!row.hidden) shown += 1;
      }
      count.textContent = words.length ? ` ${shown} of ${table.tBodies[0].rows.length}` : "";
    });
    box.before(label);
  }

  for (const table of document.querySelectorAll("table.data")) {
    if (table.tBodies[0].rows.length > 1) makeSortable(table);
    if (table.tBodies[0].rows.length >= LONG) makeFilter(table);
  }
})();
