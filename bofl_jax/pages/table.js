// Tables that sort by their header buttons and filter by a text; rows are made when they are looked at.

const PAGE = 200;
const ORDER = new Intl.Collator("en", { numeric: true });
let tables = 0;

/** Missing values last, whichever way; numbers as numbers, the digits within names too. */
function compared(a, b, sign) {
  if (a == null || b == null) return (a == null) - (b == null);
  return sign * (typeof a === "number" && typeof b === "number" ? a - b : ORDER.compare(a, b));
}

class Table {
  /**
   * @param {string} name what the rows are, for the filter and the caption.
   * @param {object[]} columns {key, title, kind, open}: kind is a key of SHOWN; open(row) makes the cell a button.
   * @param {object[]} rows
   */
  constructor(name, columns, rows) {
    Object.assign(this, { name, columns, rows, found: rows, limit: PAGE, sorted: null, sign: 1 });
    this.id = `table-${++tables}`;
    this.head = el("tr");
    this.body = el("tbody");
    this.counted = el("span", { class: "count", role: "status" });
    this.more = el("button", { type: "button", onclick: () => this.extend(this.limit + PAGE) }, `Show ${PAGE} more`);
    this.all = el("button", { type: "button", onclick: () => this.extend(Infinity) }, "Show all");
    this.pager = el("div", { class: "tools" }, this.more, this.all);
    this.filter = el("input", { type: "search", autocomplete: "off", oninput: () => this.search() });
    this.tools = el("div", { class: "tools" }, el("label", {}, `Filter ${name}`, this.filter), this.counted);
    const caption = el("caption", { class: "skip" }, name);
    const grid = el("table", { id: this.id }, caption, el("thead", {}, this.head), this.body);
    const box = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Table of ${name}` }, grid);
    this.element = el("div", {}, this.tools, box, this.pager);
    this.show(columns);
  }

  /** Show these columns. */
  show(columns) {
    this.columns = columns;
    this.drawn = new Map(); // row -> its element: sorting and filtering only move them
    this.head.replaceChildren(...columns.map((column, place) => this.header(column, place)));
    this.draw();
  }

  header(column, place) {
    const press = el("button", { type: "button", onclick: () => this.sort(column) }, column.title);
    const sort = this.sorted !== column.key ? "none" : this.sign > 0 ? "ascending" : "descending";
    return el("th", { scope: "col", class: place ? numeric(column) : "", "aria-sort": sort, "data-key": column.key }, press);
  }

  sort(column) {
    this.sign = this.sorted === column.key ? -this.sign : 1;
    this.sorted = column.key;
    for (const cell of this.head.children) cell.setAttribute("aria-sort", "none");
    const place = this.columns.findIndex((one) => one.key === column.key);
    this.head.children[place].setAttribute("aria-sort", this.sign > 0 ? "ascending" : "descending");
    this.draw();
  }

  search() {
    this.limit = PAGE;
    this.draw();
  }

  extend(limit) {
    this.limit = limit;
    this.draw();
  }

  draw() {
    const wanted = this.filter.value.trim().toLowerCase();
    const says = (row) => this.columns.some((column) => shown(row, column).toLowerCase().includes(wanted));
    this.found = wanted ? this.rows.filter(says) : [...this.rows];
    if (this.sorted) this.found.sort((a, b) => compared(a[this.sorted], b[this.sorted], this.sign));
    const visible = this.found.slice(0, this.limit);
    this.body.replaceChildren(...visible.map((row) => this.row(row)));
    const rest = this.found.length - visible.length;
    this.pager.hidden = !rest;
    const matching = wanted ? `${count(this.found.length)} of ${count(this.rows.length)} rows match` : `${count(this.rows.length)} rows`;
    this.counted.textContent = rest ? `${matching}, the first ${count(visible.length)} are shown` : matching;
  }

  row(row) {
    if (!this.drawn.has(row)) {
      this.drawn.set(row, el("tr", {}, ...this.columns.map((column, place) => cell(row, column, place))));
    }
    return this.drawn.get(row);
  }
}

function numeric(column) {
  return column.kind === "text" ? "" : column.kind === "long" ? "long" : "number";
}

function shown(row, column) {
  return SHOWN[column.kind](row[column.key]);
}

function cell(row, column, place) {
  const text = shown(row, column);
  const open = column.open && column.open(row);
  const content = open ? el("button", { type: "button", class: "plain", onclick: open }, text) : text;
  return place ? el("td", { class: numeric(column) }, content) : el("th", { scope: "row", title: text }, content);
}
