// The page of a sweep: a measure against a key of the grid, and the table of its members.

function choice(label, options, chosen, onchange) {
  const select = el("select", { onchange }, ...options.map((one) => el("option", { value: one, selected: one === chosen }, one || "none")));
  return [select, el("label", {}, label, select)];
}

/** Means over the members of a value, joined by a line, and every member as a faint mark. */
function series_of(data, measure, key, split, word, look) {
  const places = data.keys[key];
  const members = data.members
    .map((member, index) => ({ member, x: places.indexOf(member[key]), y: data.values[measure]?.[index] }))
    .filter((one) => one.y != null && (!split || one.member[split] === word));
  const all = members.map((one) => [one.x, one.y, `${one.member.member}: ${decimal(one.y)}`]);
  const means = places.flatMap((name, x) => {
    const values = members.filter((one) => one.x === x).map((one) => one.y);
    if (!values.length) return [];
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const of = split ? `, ${split} = ${word}` : "";
    return [[x, mean, `${key} = ${name}${of}: mean ${decimal(mean)} of ${values.length}`]];
  });
  const name = split ? `${split} = ${word}` : "mean; small marks are members";
  return [{ name, look, line: true, marks: true, points: means }, { name, look, marks: true, faint: true, quiet: true, points: all }];
}

function sweep_plot(data, measure, key, split) {
  const words = split ? data.keys[split] : [""];
  const series = words.flatMap((word, index) => series_of(data, measure, key, split, word, index % LOOKS));
  const names = data.keys[key];
  const x = { label: key, names, range: [-0.4, names.length - 0.6] };
  return new Plot({ title: `${measure} against ${key}`, x, y: { label: measure }, series });
}

function sweep_chart(data) {
  const keys = Object.keys(data.keys);
  const first = keys.find((key) => key !== "seed") ?? keys[0];
  const other = keys.find((key) => key !== "seed" && key !== first) ?? "";
  const box = el("div");
  const redraw = () => {
    const split = by.value === along.value ? "" : by.value;
    box.replaceChildren(sweep_plot(data, measure.value, along.value, split).element);
  };
  const start = data.shown.find((name) => name.startsWith("test.personalised")) ?? data.shown[0] ?? data.measures[0];
  const [measure, measure_label] = choice("Measure", data.measures, start, redraw);
  const [along, along_label] = choice("Against", keys, first, redraw);
  const [by, by_label] = choice("A line for each", ["", ...keys], other, redraw);
  redraw();
  return [el("div", { class: "tools" }, measure_label, along_label, by_label), box];
}

function sweep_table(data) {
  const rows = data.members.map((member, index) => ({
    ...Object.fromEntries(data.measures.map((name) => [name, data.values[name][index]])),
    ...typed(member, data.keys),
  }));
  const texts = (names) => names.map((key) => ({ key, title: key, kind: "text" }));
  const failed = data.members.some((member) => member.error);
  const fixed = texts(["member", ...Object.keys(data.keys), "status", ...(failed ? ["error"] : [])]);
  const columns = (names) => [...fixed, ...names.map((key) => ({ key, title: key, kind: "decimal" }))];
  const table = new Table("members", columns(data.shown), rows);
  const every = el("input", { type: "checkbox", onchange: () => table.show(columns(every.checked ? data.measures : data.shown)) });
  table.tools.append(el("label", {}, every, `All ${data.measures.length} measures`));
  return table.element;
}

/** Values of the grid as numbers where they are: they sort as numbers. */
function typed(member, keys) {
  const value = (text) => (text !== "" && Number.isFinite(Number(text)) ? Number(text) : text);
  return { ...member, ...Object.fromEntries(Object.keys(keys).map((key) => [key, value(member[key])])) };
}

function sweep_page(data) {
  if (data.measures.length) section("chart", "Chart", ...sweep_chart(data));
  section("members", "Members", sweep_table(data));
}
