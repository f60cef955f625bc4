"use strict";
// Elements and numbers. Every word of a result file becomes a text node or an attribute, never markup.

const DATA = JSON.parse(document.getElementById("data").textContent);
const DASH = "\u2013";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child != null));
  return node;
}

function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function format_text(value) {
  return value == null || value === "" ? DASH : String(value);
}

function format_count(value) {
  return value == null ? DASH : value.toLocaleString("en", { maximumFractionDigits: 0 });
}

/** A score between 0 and 1. */
function format_score(value) {
  return value == null ? DASH : value.toFixed(3);
}

/** A number of unknown size, with about four digits. */
function format_number(value) {
  if (value == null) return DASH;
  return Number.isInteger(value) ? format_count(value) : value.toLocaleString("en", { maximumSignificantDigits: 4 });
}

function format_loss(value) {
  return value == null ? DASH : value.toFixed(6);
}

/** Kind of a table's column -> text of a value. */
const FORMATS = {
  text: format_text,
  long: format_text,
  count: format_count,
  score: format_score,
  number: format_number,
  loss: format_loss,
};

/** base64 -> bytes. */
function decode_bytes(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** base64 of little-endian float64 -> numbers. */
function decode_numbers(text) {
  const view = new DataView(decode_bytes(text).buffer);
  return Float64Array.from({ length: view.byteLength / 8 }, (_, index) => view.getFloat64(8 * index, true));
}

/** Add a section to the page, and a link to it at the top. */
function add_section(id, title, ...children) {
  document.getElementById("sections").append(el("a", { href: `#${id}` }, title));
  const heading = el("h2", { id: `${id}-title` }, title);
  const section = el("section", { id, "aria-labelledby": `${id}-title` }, heading, ...children);
  document.getElementById("content").append(section);
}

/** A list of terms and their values. */
function term_list(entries) {
  const rows = entries.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
  return el("dl", { class: "pairs" }, ...rows.flat());
}

/** A tile: a name over texts, each with a small word behind it. */
function tile(name, values, extra = {}) {
  const shown = values.map(([text, word]) => el("dd", extra, text, el("small", {}, word)));
  return el("div", { class: "tile" }, el("dt", {}, name), ...shown);
}
