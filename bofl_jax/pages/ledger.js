// The ledger: its rounds, and in a dialog the history of one client or the contributors of one round.

class Ledger {
  constructor(data) {
    this.data = data;
    this.chain = data.chain;
    this.dialog = document.getElementById("dialog");
  }

  client_name(client) {
    return this.data.clients[client]?.client ?? String(client);
  }

  /** All contributions that the page holds, unpacked on first use. */
  get contributions() {
    if (!this.unpacked) {
      const { client, samples, loss, update } = this.chain.contributions;
      const rounds = this.chain.rounds.slice(this.chain.first);
      this.unpacked = {
        client: decode_numbers(client),
        samples: decode_numbers(samples),
        loss: decode_numbers(loss),
        update: decode_bytes(update),
        round: rounds.flatMap((round, index) => Array(round.contributors).fill(this.chain.first + index)),
      };
    }
    return this.unpacked;
  }

  /** The contributions for which a condition on client and index of the round holds. */
  contributions_where(condition) {
    const all = this.contributions;
    const rows = [];
    for (let i = 0; i < all.client.length; i++) if (condition(all.client[i], all.round[i])) rows.push(this.contribution(i));
    return rows;
  }

  contribution(i) {
    const all = this.contributions;
    const hex = Array.from(all.update.subarray(8 * i, 8 * i + 8), (byte) => byte.toString(16).padStart(2, "0")).join("");
    const round = this.chain.rounds[all.round[i]];
    const [samples, loss, update] = [all.samples[i], all.loss[i], `0x${hex}\u2026`];
    return { client: all.client[i], name: this.client_name(all.client[i]), round, samples, loss, update };
  }

  history(client) {
    const events = this.chain.events
      .filter((row) => row[0] === client)
      .map(([, block, round, what, details]) => ({ block, round, what, details }));
    const contributions = this.contributions_where((other) => other === client).map((one) => ({
      block: one.round.block,
      round: one.round.round,
      what: `Contributed to model ${one.round.model}`,
      details: `update ${one.update}, ${one.samples} samples, loss ${one.loss.toFixed(6)}`,
    }));
    return [...events, ...contributions].sort((a, b) => a.block - b.block);
  }

  open_dialog(title, ...content) {
    const close = el("button", { type: "button", onclick: () => this.dialog.close() }, "Close");
    const bar = el("div", { class: "bar" }, el("h2", { id: "dialog-title" }, title), close);
    this.dialog.replaceChildren(bar, ...content.filter(Boolean));
    if (!this.dialog.open) this.dialog.showModal();
    this.dialog.scrollTop = 0;
  }

  open_client(client) {
    const row = this.data.clients[client];
    const address = this.chain.addresses?.[client];
    const content = [address && el("p", {}, "Address ", el("span", { class: "digest" }, address))];
    if (row) content.push(el("h3", {}, "Samples by class"), this.sample_counts(row).element);
    content.push(el("h3", {}, "History on the ledger, in the order of the blocks"));
    if (this.chain.note) content.push(el("p", {}, this.chain.note));
    else content.push(new Table("events", HISTORY_COLUMNS, this.history(client)).element, this.left_out());
    this.open_dialog(`Client ${this.client_name(client)}`, ...content);
  }

  open_round(index) {
    const round = this.chain.rounds[index];
    const rows = this.contributions_where((_, other) => other === index);
    const columns = [
      { key: "name", title: "Client", kind: "text", open: (row) => () => this.open_client(row.client) },
      { key: "samples", title: "Samples", kind: "count" },
      { key: "loss", title: "Loss", kind: "loss" },
      { key: "update", title: "Update", kind: "text" },
    ];
    const note = index < this.chain.first ? this.left_out() : null;
    const title = `Round ${round.round}: contributors to model ${round.model}`;
    this.open_dialog(title, new Table("contributors", columns, rows).element, note);
  }

  /** A note on the entries that the page does not hold, or null. */
  left_out() {
    const left_out = this.chain.left_out;
    const note = `This page leaves out the ${format_count(left_out)} oldest entries of the run: bofl audit RUN --client ID lists them.`;
    return left_out ? el("p", {}, note) : null;
  }

  sample_counts(client) {
    const titles = { train: "Training", test: "Test", synthetic: "Synthetic" };
    const roles = Object.keys(titles).filter((role) => client.counts[role].some((value) => value != null));
    const columns = [
      { key: "class", title: "Class", kind: "text" },
      ...roles.map((role) => ({ key: role, title: titles[role], kind: "count" })),
    ];
    const row = (name, k) => ({ class: name, ...Object.fromEntries(roles.map((role) => [role, client.counts[role][k]])) });
    const table = new Table("classes", columns, this.data.classes.map(row));
    table.tools.hidden = true; // a handful of rows
    return table;
  }

  rounds_table() {
    const open = (row) => () => this.open_round(row.model - 1);
    const columns = [{ key: "model", title: "Model", kind: "count", open }, ...ROUND_COLUMNS];
    return new Table("rounds", columns, this.chain.rounds).element;
  }

  requests_table() {
    const rows = this.data.requests.map((row) => ({ ...row, name: this.client_name(row.client) }));
    const scores = [...new Set(rows.flatMap((row) => Object.keys(row)))].filter((key) => key.startsWith("score_"));
    const columns = [
      { key: "request", title: "Request", kind: "count" },
      { key: "name", title: "Client", kind: "text", open: (row) => () => this.open_client(row.client) },
      ...REQUEST_COLUMNS,
      ...scores.map((key) => ({ key, title: key.slice("score_".length), kind: "score" })),
    ];
    return new Table("requests", columns, rows).element;
  }
}

const HISTORY_COLUMNS = [
  { key: "block", title: "Block", kind: "count" },
  { key: "round", title: "Round", kind: "count" },
  { key: "what", title: "Event", kind: "text" },
  { key: "details", title: "Details", kind: "long" },
];
const ROUND_COLUMNS = [
  { key: "round", title: "Round", kind: "count" },
  { key: "contributors", title: "Contributors", kind: "count" },
  { key: "refused", title: "Rejected", kind: "count" },
  { key: "samples", title: "Samples", kind: "count" },
  { key: "loss", title: "Loss", kind: "loss" },
  { key: "gas", title: "Gas", kind: "count" },
  { key: "block", title: "Block", kind: "count" },
  { key: "model_digest", title: "Model digest", kind: "text" },
];
const REQUEST_COLUMNS = [
  { key: "class", title: "Class", kind: "text" },
  { key: "amount", title: "Requested", kind: "count" },
  { key: "state", title: "Decision", kind: "text" },
  { key: "reason", title: "Reason", kind: "text" },
  { key: "used", title: "Used", kind: "count" },
  { key: "refunded", title: "Refunded", kind: "count" },
  { key: "failed", title: "Failed gates", kind: "text" },
];
