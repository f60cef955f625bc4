// The page of a sweep: a measure against a key of the grid, and the table of the members.

/** A drop-down list, and its label around it. */
function choice(label, options, chosen, onchange) {
  const items = options.map((option) => el("option", { value: option, selected: option === chosen }, option || "none"));
  const select = el("select", { onchange }, ...items);
  return [select, el("label", {}, label, select)];
}

/** Means over the members of a value, joined by a line, and every member as a faint marker. */
function measure_series(data, measure, key, line_key, line_value, style) {
  const values = data.keys[key];
  const members = data.members
    .map((member, index) => ({ member, x: values.indexOf(member[key]), y: data.values[measure]?.[index] }))
    .filter((one) => one.y != null && (!line_key || one.member[line_key] === line_value));
  const all = members.map((one) => [one.x, one.y, `${one.member.member}: ${format_number(one.y)}`]);
  const suffix = line_key ? `, ${line_key} = ${line_value}` : "";
  const means = values.flatMap((value, x) => {
    const ys = members.filter((one) => one.x === x).map((one) => one.y);
    if (!ys.length) return [];
    const mean = ys.reduce((sum, y) => sum + y, 0) / ys.length;
    return [[x, mean, `${key} = ${value}${suffix}: mean ${format_number(mean)} of ${ys.length}`]];
  });
  const name = line_key ? `${line_key} = ${line_value}` : "mean; small markers are members";
  return [
    { name, style, line: true, markers: true, points: means },
    { name, style, markers: true, faint: true, unlisted: true, points: all },
  ];
}

function measure_chart(data, measure, key, line_key) {
  const line_values = line_key ? data.keys[line_key] : [""];
  const series = line_values.flatMap((value, index) => measure_series(data, measure, key, line_key, value, index % STYLES));
  const names = data.keys[key];
  const x = { label: key, names, range: [-0.4, names.length - 0.6] };
  return new Chart({ title: `${measure} against ${key}`, x, y: { label: measure }, series });
}

function sweep_chart(data) {
  const keys = Object.keys(data.keys);
  const first = keys.find((key) => key !== "seed") ?? keys[0];
  const second = keys.find((key) => key !== "seed" && key !== first) ?? "";
  const start = data.shown.find((name) => name.startsWith("test.personalised")) ?? data.shown[0] ?? data.measures[0];
  const box = el("div");
  const redraw = () => {
    const line_key = lines.value === against.value ? "" : lines.value;
    box.replaceChildren(measure_chart(data, measure.value, against.value, line_key).element);
  };
  const [measure, measure_label] = choice("Measure", data.measures, start, redraw);
  const [against, against_label] = choice("Against", keys, first, redraw);
  const [lines, lines_label] = choice("One line for each", ["", ...keys], second, redraw);
  redraw();
  return [el("div", { class: "tools" }, measure_label, against_label, lines_label), box];
}

function member_table(data) {
  const rows = data.members.map((member, index) => ({
    ...Object.fromEntries(data.measures.map((name) => [name, data.values[name][index]])),
    ...member,
    ...Object.fromEntries(Object.keys(data.keys).map((key) => [key, number_or_text(member[key])])),
  }));
  const failed = data.members.some((member) => member.error);
  const texts = ["member", ...Object.keys(data.keys), "status", ...(failed ? ["error"] : [])];
  const columns = (measures) => [
    ...texts.map((key) => ({ key, title: key, kind: "text" })),
    ...measures.map((key) => ({ key, title: key, kind: "number" })),
  ];
  const table = new Table("members", columns(data.shown), rows);
  const all = el("input", { type: "checkbox", onchange: () => table.show(columns(all.checked ? data.measures : data.shown)) });
  table.tools.append(el("label", {}, all, `All ${data.measures.length} measures`));
  return table.element;
}

/** Values of the grid that are numbers sort as numbers. */
function number_or_text(text) {
  return text !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}

function sweep_page(data) {
  if (data.measures.length) add_section("chart", "Chart", ...sweep_chart(data));
  add_section("members", "Members", member_table(data));
}
