// The charts of a run.

const MODEL_STYLES = { global: 0, personalised: 1 };

/** A curve over rounds, where it was measured. */
function curve(name, style, numbers, values, format) {
  const points = numbers.map((x, index) => [x, values[index], `Round ${format_count(x)}: ${name} ${format(values[index])}`]);
  const measured = points.filter((point) => point[1] != null);
  return { name, style, line: true, markers: measured.length <= 25, points: measured };
}

function round_chart(title, label, curves, extra = {}) {
  const series = curves.filter((one) => one.points.length);
  const x = { label: "round", whole: true };
  return series.length ? new Chart({ title, x, y: { label, ...extra }, series, by_x: true }).element : null;
}

function round_charts({ curves: data, ledger }) {
  const one = (name, style, key, format) => curve(name, style, data.number, data[key], format);
  const from_zero = (key) => ({ range: [0, Math.max(...data[key].filter((value) => value != null), 0) * 1.08 || 1] });
  const scores = [one("accuracy", 2, "accuracy", format_score), one("macro-F1", 0, "macro_f1", format_score)];
  const charts = [
    round_chart("Training loss", "mean loss of the cohort", [one("loss", 3, "loss", format_score)], from_zero("loss")),
    round_chart("Global model on the test data", "score", scores, { range: [0, 1] }),
  ];
  if (ledger.mode !== "off") {
    const cpu = [one("CPU ms", 0, "cpu_ms", format_number)];
    charts.push(round_chart("Gas of the ledger", "gas per round", [one("gas", 0, "gas", format_count)], from_zero("gas")));
    charts.push(round_chart("CPU time of the ledger", "CPU time per round (ms)", cpu, from_zero("cpu_ms")));
  }
  return el("div", { class: "charts" }, ...charts);
}

function reliability_chart(by_model) {
  const series = Object.entries(by_model).map(([model, bins]) => ({
    name: model,
    style: MODEL_STYLES[model],
    line: true,
    markers: true,
    points: bins.confidence.map((x, index) => {
      const [accuracy, samples] = [format_score(bins.accuracy[index]), format_count(bins.samples[index])];
      return [x, bins.accuracy[index], `${model}: confidence ${format_score(x)}, accuracy ${accuracy}, ${samples} samples`];
    }),
  }));
  const axis = (label) => ({ label, range: [0, 1] });
  return new Chart({
    title: "Reliability", x: axis("mean confidence of the bin"), y: axis("accuracy of the bin"),
    series, diagonal: "confidence = accuracy", square: true,
  }).element;
}

function client_chart(clients) {
  const points = clients
    .filter((client) => client.global_accuracy != null && client.personalised_accuracy != null)
    .map(({ client, global_accuracy: x, personalised_accuracy: y }) => [
      x, y, `${client}: ${format_score(x)} global, ${format_score(y)} personalised`,
    ]);
  if (!points.length) return null;
  const low = Math.min(...axis_range(points.flatMap((point) => [point[0], point[1]])));
  const axis = (label) => ({ label, range: [low, 1.02] });
  return new Chart({
    title: "Accuracy by client", x: axis("accuracy of the global model"), y: axis("accuracy of the personal model"),
    series: [{ name: "client; above the line, personalisation helped", style: 0, markers: true, faint: true, points }],
    diagonal: "equal accuracy", square: true,
  }).element;
}
