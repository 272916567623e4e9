"use strict";
(() => {
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });

  // Turns the cells of a head into buttons; `sort(column, sign)` is called with 1 or -1.
  const makeSortable = (head, sort) => {
    const cells = [...head.querySelectorAll("th")];
    cells.forEach((cell, column) => {
      if (cell.dataset.fixed !== undefined) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...cell.childNodes);
      cell.append(button);
      cell.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const ascending = cell.getAttribute("aria-sort") !== "ascending";
        head.querySelectorAll("[aria-sort]").forEach((other) => other.setAttribute("aria-sort", "none"));
        cell.setAttribute("aria-sort", ascending ? "ascending" : "descending");
        sort(column, ascending ? 1 : -1);
      });
    });
  };

  const valueOf = (cell) => (cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value));
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    makeSortable(table.tHead, (column, sign) => {
      const rows = [...body.rows];
      rows.sort((a, b) => sign * compare(valueOf(a.cells[column]), valueOf(b.cells[column])));
      body.append(...rows);
    });
  }

  const tell = (box) => {
    const beyond = box.scrollWidth - box.clientWidth;
    box.classList.toggle("sideways", beyond > 1);
    box.classList.toggle("more", beyond - box.scrollLeft > 1);
  };
  const watch = new ResizeObserver((entries) => entries.forEach((entry) => tell(entry.target.closest(".scroll"))));
  for (const box of document.querySelectorAll(".scroll")) {
    box.addEventListener("scroll", () => tell(box), { passive: true });
    watch.observe(box);
    watch.observe(box.firstElementChild);
  }

  const data = document.getElementById("changes-data");
  if (!data) return;
  const PAGE = 100;
  const { names, words, rows } = JSON.parse(data.textContent);
  const byId = (id) => document.getElementById(id);
  const table = byId("changes"), filter = byId("filter"), kind = byId("kind"), more = byId("more");
  // The place of the receipt whose changes are shown, 0 for all; there is no choice where there is one.
  const chosenReceipt = () => Number(byId("receipt") ? byId("receipt").value : 0);
  // A row: hash, file, kind, target, then answer and confidence of each receipt, the baseline's first.
  const answer = (row, place) => row[4 + 2 * place];
  const kindOf = (row) => {
    const place = chosenReceipt();
    if (!place) return row[2];
    if (answer(row, place) === answer(row, 0)) return "";
    if (answer(row, 0) === row[3]) return "lost";
    return answer(row, place) === row[3] ? "gained" : "changed";
  };
  // What the table shows: the file or else the hash, kind, target, and an answer for each receipt.
  const columns = [(row) => row[1] || row[0].slice(0, 12), kindOf, (row) => words[row[3]]];
  names.forEach((_, place) => columns.push((row) => words[answer(row, place)]));
  const keys = columns.map((column, place) =>
    place < 3 ? column : (row) => `${column(row)}\u0000${row[5 + 2 * (place - 3)].toFixed(3)}`);
  let searched = null;  // What the filter looks in, made when it is first used.
  const matches = (row, wanted) => {
    searched ??= new Map(rows.map((row) =>
      [row, [row[0], row[1], words[row[3]], ...names.map((_, place) => words[answer(row, place)])].join(" ").toLowerCase()]));
    return searched.get(row).includes(wanted);
  };
  let chosen = rows, shown = 0, order = null;

  const cell = (tag, content) => {
    const made = document.createElement(tag);
    made.textContent = content;
    return made;
  };
  const draw = (row) => {
    const line = document.createElement("tr");
    const first = cell("th", columns[0](row));
    first.scope = "row";
    first.title = row[0];
    const tag = cell("span", kindOf(row));
    tag.className = `tag ${kindOf(row)}`;
    const state = document.createElement("td");
    state.append(tag);
    line.append(first, state, cell("td", columns[2](row)));
    names.forEach((_, place) => {
      const wrong = answer(row, place) !== row[3];
      const said = cell("td", `${wrong ? "✗\u00a0" : ""}${columns[3 + place](row)} `);
      if (wrong) said.className = "wrong";
      said.append(cell("small", row[5 + 2 * place].toFixed(2)));
      line.append(said);
    });
    return line;
  };
  const showMore = () => {
    table.tBodies[0].append(...chosen.slice(shown, shown + PAGE).map(draw));
    shown = Math.min(chosen.length, shown + PAGE);
    more.hidden = shown === chosen.length;
    byId("count").textContent = `${shown} of ${chosen.length} shown`;
  };
  const update = () => {
    const wanted = filter.value.trim().toLowerCase();
    chosen = rows.filter((row) =>
      (kind.value ? kindOf(row) === kind.value : kindOf(row)) && (!wanted || matches(row, wanted)));
    if (order) chosen.sort((a, b) => order.sign * compare(keys[order.column](a), keys[order.column](b)));
    table.tBodies[0].replaceChildren();
    shown = 0;
    showMore();
  };

  const head = document.createElement("tr");
  for (const title of ["picture", "kind", "is", ...names]) {
    const made = cell("th", title);
    made.scope = "col";
    head.append(made);
  }
  table.tHead.append(head);
  makeSortable(table.tHead, (column, sign) => {
    order = { column, sign };
    update();
  });
  filter.addEventListener("input", update);
  for (const choice of [kind, byId("receipt")]) choice?.addEventListener("change", update);
  more.addEventListener("click", showMore);
  byId("explorer").hidden = false;
  update();
})();
