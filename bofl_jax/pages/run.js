// The page of a run.

function headline(data) {
  const { ledger, timing } = data;
  const tiles = data.headline.map((row) =>
    tile(row.name, data.models.map((model) => [format_score(row[model]), model]), { title: row.better }),
  );
  if (ledger.mode !== "off") {
    const gas = [format_count(ledger.gas_per_round), "gas per round"];
    tiles.push(tile(`Ledger (${ledger.mode})`, [gas, [format_number(ledger.cpu_ms_per_round), "CPU ms per round"]]));
    tiles.push(tile("Head hash of the chain", [[ledger.head_hash ?? DASH, ""]], { class: "digest" }));
  }
  const training = [format_number(timing.rounds_s), "s of training"];
  tiles.push(tile("Speed", [[format_count(timing.samples_per_s), "samples/s"], training]));
  return el("dl", { class: "tiles" }, ...tiles);
}

/** Columns of some quantities, each for every model. */
function model_columns(data, quantities) {
  return Object.entries(quantities).flatMap(([key, title]) =>
    data.models.map((model) => ({ key: `${model}_${key}`, title: `${title}\n${model}`, kind: "score" })),
  );
}

function class_table(data) {
  const columns = [{ key: "class", title: "Class", kind: "text" }, { key: "samples", title: "Test\nsamples", kind: "count" }];
  return new Table("classes", [...columns, ...model_columns(data, data.class_metrics)], data.per_class).element;
}

/** Recall by class and group of people, and the largest difference between two groups. */
function group_table(data) {
  const { attribute, in_no_group, rows } = data.groups;
  const columns = [
    { key: "class", title: "Class", kind: "text" },
    { key: "group", title: "Group", kind: "text" },
    { key: "people", title: "People", kind: "count" },
    { key: "samples", title: "Test\nsamples", kind: "count" },
    ...model_columns(data, { recall: "Recall", gap: "Gap\u00a0of\u00a0class" }),
  ];
  const note = `People are grouped by ${attribute}. The gap is the largest difference in recall between two groups (equal opportunity). Where few people have samples of a class, the gap depends on these few. Samples of people in no group: ${format_count(in_no_group)}.`;
  return [el("p", {}, note), new Table("groups", columns, rows).element];
}

function client_table(data, ledger) {
  const rows = data.clients.map((row, index) => ({
    ...row,
    index,
    gain: row.global_accuracy == null || row.personalised_accuracy == null ? null : row.personalised_accuracy - row.global_accuracy,
  }));
  const columns = [
    { key: "client", title: "Client", kind: "text", open: (row) => () => ledger.open_client(row.index) },
    { key: "subject", title: "Subject", kind: "text" },
    { key: "n_train", title: "Training\nsamples", kind: "count" },
    { key: "n_test", title: "Test\nsamples", kind: "count" },
    { key: "n_synthetic", title: "Synthetic", kind: "count" },
    { key: "label_divergence", title: "Label\ndivergence", kind: "score" },
    ...model_columns(data, { accuracy: "Accuracy" }),
    { key: "gain", title: "Accuracy\ngain", kind: "score" },
    ...model_columns(data, { macro_f1: "Macro\u2011F1" }),
  ];
  const has_values = (column) => rows.some((row) => row[column.key] != null);
  return new Table("clients", columns.filter(has_values), rows).element;
}

function synthetic_samples(data, ledger) {
  if (!data.requests.length) return [el("p", {}, "No client requested synthetic samples.")];
  const titles = {
    requests: "requests",
    rejected: "rejected requests",
    unused: "approved requests without a used sample",
    asked: "requested samples",
    used: "used samples",
  };
  const totals = Object.entries(titles).map(([key, title]) => [title, format_count(data.synthesis?.[key])]);
  return [term_list(totals), ledger.requests_table()];
}

function ledger_rounds(data, ledger) {
  const { note, aborted, conclusion } = data.chain;
  if (note) return [el("p", {}, note)];
  const rounds = aborted.length ? ` Aborted rounds: ${aborted.join(", ")}.` : "";
  return [
    el("p", {}, `The chain was replayed and verified for this page.${rounds}`),
    ...conclusion.split("\n").map((line) => el("p", { class: "digest" }, line)),
    ledger.rounds_table(),
  ];
}

function configuration(sections) {
  const folded = Object.entries(sections).map(([name, values]) => {
    const entries = Object.entries(values).map(([key, value]) => [key, el("code", {}, JSON.stringify(value))]);
    return el("details", {}, el("summary", {}, name), term_list(entries));
  });
  return el("div", { class: "folded" }, ...folded);
}

function run_page(data) {
  const ledger = new Ledger(data);
  add_section("results", "Results", headline(data));
  add_section("rounds", "Rounds", round_charts(data));
  add_section("classes", "Classes", class_table(data));
  if (data.groups) add_section("groups", "Groups of people", ...group_table(data));
  const hint = "A client's name opens its samples by class and its history on the ledger.";
  add_section("clients", "Clients", el("p", {}, hint), client_table(data, ledger));
  const accuracy = client_chart(data.clients);
  const reliability = Object.keys(data.reliability).length ? reliability_chart(data.reliability) : null;
  if (accuracy || reliability) {
    add_section("spread", "Accuracy by client, and calibration", el("div", { class: "charts" }, accuracy, reliability));
  }
  add_section("beats", "Explained beats", ...explained_beats(data));
  add_section("ledger", "Ledger", ...ledger_rounds(data, ledger));
  add_section("synthesis", "Synthetic samples", ...synthetic_samples(data, ledger));
  add_section("configuration", "Configuration", configuration({ ...data.config, environment: data.environment }));
}
