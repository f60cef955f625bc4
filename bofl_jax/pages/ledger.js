// The chain: its rounds, and in a dialog what one client did or who contributed to one round.

class Ledger {
  constructor(data) {
    this.data = data;
    this.chain = data.chain;
    this.dialog = document.getElementById("dialog");
  }

  name(client) {
    return this.data.clients[client]?.client ?? String(client);
  }

  /** All contributions that the page holds, unpacked when they are first asked for. */
  get contributions() {
    if (!this.unpacked) {
      const { client, samples, loss, update } = this.chain.contributions;
      this.unpacked = { client: column(client), samples: column(samples), loss: column(loss), update: bytes(update) };
      const rounds = this.chain.rounds.slice(this.chain.first);
      this.unpacked.round = rounds.flatMap((round, index) => Array(round.contributors).fill(this.chain.first + index));
    }
    return this.unpacked;
  }

  matching(holds) {
    const all = this.contributions;
    const rows = [];
    for (let i = 0; i < all.client.length; i++) if (holds(all.client[i], all.round[i])) rows.push(this.contribution(i));
    return rows;
  }

  contribution(i) {
    const all = this.contributions;
    const hex = Array.from(all.update.subarray(8 * i, 8 * i + 8), (byte) => byte.toString(16).padStart(2, "0")).join("");
    const round = this.chain.rounds[all.round[i]];
    const [samples, loss, update] = [all.samples[i], all.loss[i], `0x${hex}\u2026`];
    return { client: all.client[i], name: this.name(all.client[i]), round, samples, loss, update };
  }

  deeds(client) {
    const events = this.chain.events
      .filter((row) => row[0] === client)
      .map(([, block, round, what, particulars]) => ({ block, round, what, particulars }));
    const contributed = this.matching((one) => one === client).map((one) => ({
      block: one.round.block,
      round: one.round.round,
      what: `Contributed to model ${one.round.model}`,
      particulars: `update ${one.update}, ${one.samples} samples, loss ${one.loss.toFixed(6)}`,
    }));
    return [...events, ...contributed].sort((a, b) => a.block - b.block);
  }

  open(title, ...content) {
    const close = el("button", { type: "button", onclick: () => this.dialog.close() }, "Close");
    const bar = el("div", { class: "bar" }, el("h2", { id: "dialog-title" }, title), close);
    this.dialog.replaceChildren(bar, ...content.filter(Boolean));
    if (!this.dialog.open) this.dialog.showModal();
    this.dialog.scrollTop = 0;
  }

  open_client(client) {
    const found = this.data.clients[client];
    const address = this.chain.addresses?.[client];
    const content = [address && el("p", {}, "Address ", el("span", { class: "digest" }, address))];
    if (found) content.push(el("h3", {}, "Samples by class"), this.counts(found).element);
    content.push(el("h3", {}, "Everything that it did, block by block"));
    if (this.chain.note) content.push(el("p", {}, this.chain.note));
    else content.push(new Table("deeds", DEEDS, this.deeds(client)).element, this.left_out());
    this.open(`Client ${this.name(client)}`, ...content);
  }

  open_round(index) {
    const round = this.chain.rounds[index];
    const rows = this.matching((_, one) => one === index);
    const columns = [
      { key: "name", title: "Client", kind: "text", open: (row) => () => this.open_client(row.client) },
      { key: "samples", title: "Samples", kind: "count" },
      { key: "loss", title: "Loss", kind: "loss" },
      { key: "update", title: "Update", kind: "text" },
    ];
    const note = index < this.chain.first ? this.left_out() : null;
    this.open(`Round ${round.round}: contributors to model ${round.model}`, new Table("contributors", columns, rows).element, note);
  }

  left_out() {
    const words = `${count(this.chain.left_out)} older entries of the whole run are not on this page: bofl audit RUN --client ID lists them.`;
    return this.chain.left_out ? el("p", {}, words) : null;
  }

  counts(client) {
    const roles = { train: "Training", test: "Test", synthetic: "Synthetic" };
    const held = Object.keys(roles).filter((role) => client.counts[role].some((value) => value != null));
    const columns = [
      { key: "class", title: "Class", kind: "text" },
      ...held.map((role) => ({ key: role, title: roles[role], kind: "count" })),
    ];
    const row = (name, k) => ({ class: name, ...Object.fromEntries(held.map((role) => [role, client.counts[role][k]])) });
    const table = new Table("classes", columns, this.data.classes.map(row));
    table.tools.hidden = true; // a handful of rows
    return table;
  }

  rounds() {
    return new Table("rounds", [
      { key: "model", title: "Model", kind: "count", open: (row) => () => this.open_round(row.model - 1) },
      ...ROUNDS,
    ], this.chain.rounds).element;
  }

  requests() {
    const rows = this.data.requests.map((row) => ({ ...row, name: this.name(row.client) }));
    const scores = [...new Set(rows.flatMap((row) => Object.keys(row)))].filter((key) => key.startsWith("score_"));
    return new Table("requests", [
      { key: "request", title: "Request", kind: "count" },
      { key: "name", title: "Client", kind: "text", open: (row) => () => this.open_client(row.client) },
      ...REQUESTS,
      ...scores.map((key) => ({ key, title: key.slice("score_".length), kind: "share" })),
    ], rows).element;
  }
}

const DEEDS = [
  { key: "block", title: "Block", kind: "count" },
  { key: "round", title: "Round", kind: "count" },
  { key: "what", title: "What", kind: "text" },
  { key: "particulars", title: "Particulars", kind: "long" },
];
const ROUNDS = [
  { key: "round", title: "Round", kind: "count" },
  { key: "contributors", title: "Contributors", kind: "count" },
  { key: "refused", title: "Refused", kind: "count" },
  { key: "samples", title: "Samples", kind: "count" },
  { key: "loss", title: "Loss", kind: "loss" },
  { key: "gas", title: "Gas", kind: "count" },
  { key: "block", title: "Block", kind: "count" },
  { key: "model_digest", title: "Model digest", kind: "text" },
];
const REQUESTS = [
  { key: "class", title: "Class", kind: "text" },
  { key: "amount", title: "Asked", kind: "count" },
  { key: "state", title: "Decision", kind: "text" },
  { key: "reason", title: "Reason", kind: "text" },
  { key: "used", title: "Used", kind: "count" },
  { key: "refunded", title: "Refunded", kind: "count" },
  { key: "failed", title: "Failed gates", kind: "text" },
];
