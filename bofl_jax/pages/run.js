// The page of a run.

function headline(data) {
  const tiles = data.headline.map((row) => tile(row.name, data.models.map((model) => [share(row[model]), model])));
  const ledger = data.ledger;
  if (ledger.mode !== "off") {
    const gas = [[count(ledger.gas_per_round), "gas a round"]];
    tiles.push(tile(`Ledger (${ledger.mode})`, [...gas, [decimal(ledger.cpu_ms_per_round), "CPU ms a round"]]));
    tiles.push(tile("Head hash of the chain", [[ledger.head_hash ?? DASH, ""]], { class: "digest" }));
  }
  const speed = [[count(data.timing.samples_per_s), "samples/s"], [decimal(data.timing.rounds_s), "s training"]];
  tiles.push(tile("Speed", speed));
  return el("dl", { class: "tiles" }, ...tiles);
}

/** Columns of one quantity for every model. */
function by_model(data, quantities) {
  return Object.entries(quantities).flatMap(([key, title]) =>
    data.models.map((model) => ({ key: `${model}_${key}`, title: `${title}\n${model}`, kind: "share" })),
  );
}

function per_class(data) {
  const quantities = { recall: "Recall", precision: "Precision", f1: "F1", specificity: "Specificity" };
  const columns = [{ key: "class", title: "Class", kind: "text" }, { key: "samples", title: "Test\nsamples", kind: "count" }];
  return new Table("classes", [...columns, ...by_model(data, quantities)], data.per_class).element;
}

/** Recall by class and group of people, and the largest difference between two groups. */
function groups(found, data) {
  const columns = [
    { key: "class", title: "Class", kind: "text" },
    { key: "group", title: "Group", kind: "text" },
    { key: "people", title: "People", kind: "count" },
    { key: "samples", title: "Test\nsamples", kind: "count" },
    ...by_model(data, { recall: "Recall", gap: "Gap\u00a0of\u00a0class" }),
  ];
  const left = `People by ${found.attribute}. The gap is the largest difference between the recalls of two groups (equal opportunity); where few people have a class, it is theirs. Samples of people in no group: ${count(found.in_no_group)}.`;
  return [el("p", {}, left), new Table("groups", columns, found.rows).element];
}

function per_client(data, ledger) {
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
    { key: "label_divergence", title: "Label\ndivergence", kind: "share" },
    ...by_model(data, { accuracy: "Accuracy" }),
    { key: "gain", title: "Accuracy\ngain", kind: "share" },
    ...by_model(data, { macro_f1: "Macro\u2011F1" }),
  ];
  const known = (column) => rows.some((row) => row[column.key] != null);
  return new Table("clients", columns.filter(known), rows).element;
}

function synthesis(data, ledger) {
  if (!data.requests.length) return [el("p", {}, "No synthetic samples were asked for.")];
  const names = { requests: "requests", rejected: "rejected", unused: "approved, nothing used", asked: "samples asked for", used: "samples used" };
  const told = Object.entries(names).map(([key, name]) => [name, count(data.synthesis?.[key])]);
  return [pairs(told), ledger.requests()];
}

function chain(data, ledger) {
  if (data.chain.note) return [el("p", {}, data.chain.note)];
  const aborted = data.chain.aborted.length ? ` Aborted rounds: ${data.chain.aborted.join(", ")}.` : "";
  return [
    el("p", {}, `The chain was replayed for this page.${aborted}`),
    ...data.chain.conclusion.split("\n").map((line) => el("p", { class: "digest" }, line)),
    ledger.rounds(),
  ];
}

function settings(sections) {
  const folded = Object.entries(sections).map(([name, values]) => {
    const entries = Object.entries(values).map(([key, value]) => [key, el("code", {}, JSON.stringify(value))]);
    return el("details", {}, el("summary", {}, name), pairs(entries));
  });
  return el("div", { class: "folded" }, ...folded);
}

function run_page(data) {
  const ledger = new Ledger(data);
  section("results", "Results", headline(data));
  section("rounds", "Over the rounds", curves(data));
  section("classes", "Classes", per_class(data));
  if (data.groups) section("groups", "Groups of people", ...groups(data.groups, data));
  const choose = "A client's name opens what it holds and everything that it did on the ledger.";
  const scatter = clients_chart(data.clients);
  const reliable = Object.keys(data.reliability).length ? reliability_chart(data.reliability) : null;
  section("clients", "Clients", el("p", {}, choose), per_client(data, ledger));
  if (scatter || reliable) section("spread", "Spread and calibration", el("div", { class: "charts" }, scatter, reliable));
  section("beats", "Example beats", ...beats(data));
  section("ledger", "Ledger", ...chain(data, ledger));
  section("synthesis", "Synthetic samples", ...synthesis(data, ledger));
  section("configuration", "Configuration", settings({ ...data.config, "made with": data.environment }));
}
