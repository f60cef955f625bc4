"use strict";
// Elements and texts. Every word of a result file becomes a text node or an attribute, never markup.

const DATA = JSON.parse(document.getElementById("data").textContent);
const DASH = "\u2013";

function made(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child != null));
  return node;
}

function el(name, attributes = {}, ...children) {
  return made(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return made(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function count(value) {
  return value == null ? DASH : value.toLocaleString("en", { maximumFractionDigits: 0 });
}

function share(value) {
  return value == null ? DASH : value.toFixed(3);
}

/** A number of unknown size, with about four digits. */
function decimal(value) {
  if (value == null) return DASH;
  return Number.isInteger(value) ? count(value) : value.toLocaleString("en", { maximumSignificantDigits: 4 });
}

const SHOWN = {
  text: (value) => (value == null || value === "" ? DASH : String(value)),
  long: (value) => (value == null || value === "" ? DASH : String(value)),
  count,
  share,
  decimal,
  loss: (value) => (value == null ? DASH : value.toFixed(6)),
};

/** base64 -> bytes. */
function bytes(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** base64 of little-endian float64 -> numbers. */
function column(text) {
  const view = new DataView(bytes(text).buffer);
  return Float64Array.from({ length: view.byteLength / 8 }, (_, index) => view.getFloat64(8 * index, true));
}

/** A part of the page, and its link at the top. */
function section(id, title, ...children) {
  document.getElementById("sections").append(el("a", { href: `#${id}` }, title));
  const heading = el("h2", { id: `${id}-title` }, title);
  const part = el("section", { id, "aria-labelledby": `${id}-title` }, heading, ...children);
  document.getElementById("content").append(part);
}

/** Terms and what they say. */
function pairs(entries) {
  const rows = entries.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
  return el("dl", { class: "pairs" }, ...rows.flat());
}

/** A tile: a name over numbers, each with a small word behind it. */
function tile(name, values, extra = {}) {
  const shown = values.map(([text, word]) => el("dd", extra, text, el("small", {}, word)));
  return el("div", { class: "tile" }, el("dt", {}, name), ...shown);
}
