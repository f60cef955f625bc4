// Tables that sort by their header buttons and filter by a text. Rows become elements when they are first shown.

const PAGE = 200;
const ORDER = new Intl.Collator("en", { numeric: true });
let tables = 0;

/** Numbers sort as numbers, digits within names too; missing values come last in both directions. */
function compare(a, b, direction) {
  if (a == null || b == null) return (a == null) - (b == null);
  return direction * (typeof a === "number" && typeof b === "number" ? a - b : ORDER.compare(a, b));
}

class Table {
  /**
   * @param {string} name what the rows are, for the filter and the caption.
   * @param {object[]} columns {key, title, kind, open}: kind is a key of FORMATS; open(row) makes the cell a button.
   * @param {object[]} rows
   */
  constructor(name, columns, rows) {
    Object.assign(this, { columns, rows, limit: PAGE, sort_key: null, direction: 1 });
    this.id = `table-${++tables}`;
    this.head = el("tr");
    this.body = el("tbody");
    this.status = el("span", { class: "count", role: "status" });
    const more = el("button", { type: "button", onclick: () => this.extend(this.limit + PAGE) }, `Show ${PAGE} more`);
    const all = el("button", { type: "button", onclick: () => this.extend(Infinity) }, "Show all");
    this.pager = el("div", { class: "tools" }, more, all);
    this.filter = el("input", { type: "search", autocomplete: "off", oninput: () => this.extend(PAGE) });
    this.tools = el("div", { class: "tools" }, el("label", {}, `Filter ${name}`, this.filter), this.status);
    const caption = el("caption", { class: "skip" }, name);
    const grid = el("table", { id: this.id }, caption, el("thead", {}, this.head), this.body);
    const box = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Table of ${name}` }, grid);
    this.element = el("div", {}, this.tools, box, this.pager);
    this.show(columns);
  }

  /** Show these columns. */
  show(columns) {
    this.columns = columns;
    this.row_elements = new Map(); // sorting and filtering only move them
    this.head.replaceChildren(...columns.map((column, index) => this.header(column, index)));
    this.draw();
  }

  header(column, index) {
    const button = el("button", { type: "button", onclick: () => this.sort(column) }, column.title);
    const sort = this.sort_key !== column.key ? "none" : this.direction > 0 ? "ascending" : "descending";
    return el("th", { scope: "col", class: index ? cell_class(column) : "", "aria-sort": sort, "data-key": column.key }, button);
  }

  sort(column) {
    this.direction = this.sort_key === column.key ? -this.direction : 1;
    this.sort_key = column.key;
    for (const cell of this.head.children) cell.setAttribute("aria-sort", "none");
    const index = this.columns.findIndex((other) => other.key === column.key);
    this.head.children[index].setAttribute("aria-sort", this.direction > 0 ? "ascending" : "descending");
    this.draw();
  }

  /** Show at most so many rows. */
  extend(limit) {
    this.limit = limit;
    this.draw();
  }

  draw() {
    const wanted = this.filter.value.trim().toLowerCase();
    const matches = (row) => this.columns.some((column) => cell_text(row, column).toLowerCase().includes(wanted));
    const matching = wanted ? this.rows.filter(matches) : [...this.rows];
    if (this.sort_key) matching.sort((a, b) => compare(a[this.sort_key], b[this.sort_key], this.direction));
    const visible = matching.slice(0, this.limit);
    this.body.replaceChildren(...visible.map((row) => this.row(row)));
    const total = format_count(this.rows.length);
    const text = wanted ? `${format_count(matching.length)} of ${total} rows match` : `${total} rows`;
    this.pager.hidden = visible.length === matching.length;
    this.status.textContent = this.pager.hidden ? text : `${text}, the first ${format_count(visible.length)} are shown`;
  }

  row(row) {
    if (!this.row_elements.has(row)) {
      this.row_elements.set(row, el("tr", {}, ...this.columns.map((column, index) => cell(row, column, index))));
    }
    return this.row_elements.get(row);
  }
}

function cell_class(column) {
  return column.kind === "text" ? "" : column.kind === "long" ? "long" : "number";
}

function cell_text(row, column) {
  return FORMATS[column.kind](row[column.key]);
}

function cell(row, column, index) {
  const text = cell_text(row, column);
  const open = column.open && column.open(row);
  const content = open ? el("button", { type: "button", class: "plain", onclick: open }, text) : text;
  return index ? el("td", { class: cell_class(column) }, content) : el("th", { scope: "row", title: text }, content);
}
