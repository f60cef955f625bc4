// The charts of a run.

const LOOK = { global: 0, personalised: 1 };

/** A curve over rounds, where it was measured. */
function curve(name, look, numbers, values, say) {
  const points = numbers.map((x, index) => [x, values[index], `Round ${count(x)}: ${name} ${say(values[index])}`]);
  const measured = points.filter((point) => point[1] != null);
  return { name, look, line: true, marks: measured.length <= 25, points: measured };
}

function over_rounds(title, label, series, extra = {}) {
  const drawn = series.filter((one) => one.points.length);
  const x = { label: "round", whole: true };
  return drawn.length ? new Plot({ title, x, y: { label, ...extra }, series: drawn, line_like: true }).element : null;
}

function curves({ curves: data, ledger }) {
  const one = (name, look, key, say) => curve(name, look, data.number, data[key], say);
  const from0 = (key) => ({ range: [0, Math.max(...data[key].filter((v) => v != null), 0) * 1.08 || 1] });
  const charts = [
    over_rounds("Training loss", "mean loss of the cohort", [one("loss", 3, "loss", share)], from0("loss")),
    over_rounds("Global model on the test data", "share", [one("accuracy", 2, "accuracy", share), one("macro-F1", 0, "macro_f1", share)], { range: [0, 1] }),
  ];
  if (ledger.mode !== "off") {
    charts.push(over_rounds("Ledger: gas", "gas a round", [one("gas", 0, "gas", count)], from0("gas")));
    charts.push(over_rounds("Ledger: time of its thread", "CPU time a round (ms)", [one("CPU ms", 0, "cpu_ms", decimal)], from0("cpu_ms")));
  }
  return el("div", { class: "charts" }, ...charts);
}

function reliability_chart(found) {
  const series = Object.entries(found).map(([model, bins]) => ({
    name: model,
    look: LOOK[model],
    line: true,
    marks: true,
    points: bins.confidence.map((x, index) => [
      x,
      bins.accuracy[index],
      `${model}: confidence ${share(x)}, right ${share(bins.accuracy[index])}, ${count(bins.samples[index])} samples`,
    ]),
  }));
  const axis = (label) => ({ label, range: [0, 1] });
  return new Plot({
    title: "Reliability", x: axis("mean confidence of the bin"), y: axis("share that is right"),
    series, diagonal: "confidence = accuracy", tall: true,
  }).element;
}

function clients_chart(clients) {
  const points = clients
    .filter((one) => one.global_accuracy != null && one.personalised_accuracy != null)
    .map((one) => [
      one.global_accuracy,
      one.personalised_accuracy,
      `${one.client}: ${share(one.global_accuracy)} global, ${share(one.personalised_accuracy)} personalised`,
    ]);
  if (!points.length) return null;
  const low = Math.min(...range(points.flatMap((point) => [point[0], point[1]])));
  const axis = (label) => ({ label, range: [low, 1.02] });
  return new Plot({
    title: "Accuracy of every client", x: axis("accuracy of the global model"), y: axis("accuracy, personalised"),
    series: [{ name: "a client (above the line: better off)", look: 0, marks: true, faint: true, points }],
    diagonal: "no change", tall: true,
  }).element;
}
