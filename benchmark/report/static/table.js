// Sorting, filtering and csv of the leaderboard's table; columns that are empty in all shown rows are hidden. The state is in the address after #, so that a link keeps it:
// #dataset=decoy-digits&rule=knee&sort=8&order=descending. Without this script the table is whole and unsorted.
"use strict";

const board = document.getElementById("board");
const body = board.tBodies[0];
const heads = [...board.tHead.rows[0].cells];
const rows = [...body.rows];
const searched = Number(board.dataset.search ?? 0); // the column of the names
const form = document.getElementById("filters");
const count = document.getElementById("count");
const hint = count.textContent.slice(count.textContent.indexOf(".") + 1);
const fields = [...form.querySelectorAll("select, input")];
const first = { ...stateOfForm(), sort: "", order: "" }; // as the page was written

function stateOfForm() {
  return Object.fromEntries(fields.map((field) => [field.name, field.value]));
}

// Numbers by value, with the empty last in either order; words by the alphabet.
function compare(column, sign) {
  const key = (row) => row.cells[column].dataset.value;
  const text = (row) => row.cells[column].textContent;
  const numeric = heads[column].classList.contains("number");
  return (a, b) => {
    if (!numeric) return sign * text(a).localeCompare(text(b));
    if (key(a) === "" || key(b) === "") return (key(a) === "") - (key(b) === "");
    return sign * (Number(key(a)) - Number(key(b)));
  };
}

// By a rule for each column that has nothing in the shown rows: a rule is quicker than ten thousand cells.
const emptyColumns = document.head.appendChild(document.createElement("style"));

function hideEmptyColumns() {
  const shown = rows.filter((row) => !row.hidden);
  const empty = (column) => shown.length > 0 && shown.every((row) => ["", "-"].includes(row.cells[column].textContent));
  const hidden = heads.flatMap((_, i) => (empty(i) ? `#board tr > :nth-child(${i + 1})` : []));
  emptyColumns.textContent = hidden.length ? `${hidden.join(", ")} { display: none; }` : "";
}

function show(state) {
  const search = state.search.trim().toLowerCase();
  let shown = 0;
  for (const row of rows) {
    const kept =
      fields.every((field) => field.name === "search" || !state[field.name] || row.dataset[field.name] === state[field.name]) &&
      row.cells[searched].textContent.toLowerCase().includes(search);
    row.hidden = !kept;
    shown += kept;
  }
  hideEmptyColumns();
  const column = state.sort === "" ? -1 : Number(state.sort);
  const sorted = column < 0 ? rows : [...rows].sort(compare(column, state.order === "ascending" ? 1 : -1));
  body.append(...sorted); // sort is stable: equal rows keep the leaderboard's order
  heads.forEach((head, i) => head.setAttribute("aria-sort", i === column ? state.order : "none"));
  count.textContent = `${shown} of ${rows.length} rows.${hint}`;
}

// What differs from the page as it was written; a reader's link stays short.
function toAddress(state) {
  const changed = Object.entries(state).filter(([name, value]) => value !== first[name]);
  const words = new URLSearchParams(changed).toString();
  history.replaceState(null, "", words ? `#${words}` : location.pathname + location.search);
}

// What a link does not name is as the page was written.
function fromAddress() {
  const words = new URLSearchParams(location.hash.slice(1));
  const known = [...words.keys()].some((name) => name in first);
  const state = { ...first };
  if (known) for (const [name, value] of words) if (name in first) state[name] = value;
  if (!(Number(state.sort) >= 0 && Number(state.sort) < heads.length)) state.sort = "";
  for (const field of fields) {
    field.value = state[field.name];
    state[field.name] = field.value; // a value that no option has shows all
    if (field.selectedIndex === -1) field.selectedIndex = 0;
  }
  return state;
}

function csv() {
  const quoted = (text) => `"${text.replaceAll('"', '""').replaceAll("\n", " ").trim()}"`;
  const inert = (cell) => (!cell.classList.contains("number") && /^\s*[=+\-@|]/.test(cell.textContent) ? "'" : "");
  const line = (cells) => [...cells].map((cell) => quoted(inert(cell) + cell.textContent)).join(",");
  return [line(heads), ...[...body.rows].filter((row) => !row.hidden).map((row) => line(row.cells))].join("\n") + "\n";
}

let state = fromAddress();
show(state);

function change(changes) {
  state = { ...state, ...changes };
  show(state);
  toAddress(state);
}

form.addEventListener("input", () => change(stateOfForm()));
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(() => change(first)));
heads.forEach((head, i) =>
  head.querySelector("button").addEventListener("click", () => {
    const downFirst = head.classList.contains("number") ? "descending" : "ascending";
    const other = { ascending: "descending", descending: "ascending" }[state.order];
    change({ sort: String(i), order: state.sort === String(i) ? other : downFirst });
  }),
);
window.addEventListener("hashchange", () => show((state = fromAddress())));
document.getElementById("csv").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = "leaderboard.csv";
  link.click();
  URL.revokeObjectURL(link.href);
});
