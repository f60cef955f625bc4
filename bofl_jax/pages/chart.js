// One kind of plot for everything: points in series, drawn as lines or marks, with the nearest one read out.

const MARGIN = { left: 62, right: 14, top: 10, bottom: 44 };
const MARKS = [
  (x, y, r) => `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`,
  (x, y, r) => `M${x} ${y - 1.2 * r}l${1.2 * r} ${2.1 * r}h${-2.4 * r}z`,
  (x, y, r) => `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
  (x, y, r) => `M${x} ${y - 1.4 * r}l${1.4 * r} ${1.4 * r}l${-1.4 * r} ${1.4 * r}l${-1.4 * r} ${-1.4 * r}z`,
];
const LOOKS = 7;

/** Round steps of 1, 2 or 5 that cover a range. */
function ticks([low, high], most, whole) {
  const rough = (high - low) / most || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 5, 10].map((digit) => digit * power).find((size) => size >= rough * 0.9);
  if (whole) step = Math.max(1, Math.round(step));
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

/** 150K for 150000; smaller numbers as they are. */
function tick(value) {
  return value.toLocaleString("en", Math.abs(value) >= 1e4 ? { notation: "compact" } : { maximumSignificantDigits: 6 });
}

/** The range of some numbers, with a little room; one that is given stays. */
function range(values, given) {
  if (given) return given;
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  if (low > high) return [0, 1];
  const room = high > low ? 0.05 * (high - low) : Math.abs(high) * 0.05 || 0.5;
  return [low >= 0 ? Math.max(0, low - room) : low - room, high + room];
}

class Plot {
  /**
   * @param {object} spec title; x and y {label, range, whole, names}; diagonal, the word for x = y; tall, a square;
   *   line_like, points are found by x more than by y;
   *   series [{name, look, line, marks, faint, quiet: not in the legend, points: [[x, y, text]]}].
   */
  constructor(spec) {
    Object.assign(this, spec);
    this.points = this.series.flatMap((one) => one.points).sort((a, b) => a[0] - b[0]);
    this.at = -1;
    this.readout = el("output", { class: "readout" });
    this.drawing = svg("svg", { tabindex: 0, role: "img", "aria-label": this.words() });
    this.drawing.addEventListener("pointermove", (event) => this.point(event));
    this.drawing.addEventListener("keydown", (event) => this.key(event));
    this.drawing.addEventListener("pointerleave", () => this.read(-1));
    this.drawing.addEventListener("blur", () => this.read(-1));
    const caption = el("figcaption", {}, this.title);
    this.element = el("figure", {}, caption, this.legend(), this.drawing, this.readout);
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  words() {
    const names = this.series.map((one) => one.name).join(", ");
    return `${this.title}: ${this.y.label} against ${this.x.label}, ${names}. Arrow keys read the values.`;
  }

  legend() {
    if (this.series.length < 2 && !this.diagonal) return null; // the caption says it
    const named = this.series.filter((one) => !one.quiet);
    const rows = named.map((one) => el("li", {}, swatch(one), one.name));
    if (this.diagonal) {
      const sample = svg("svg", { viewBox: "0 0 32 12", "aria-hidden": true });
      sample.append(svg("path", { class: "diagonal", d: "M2 6H30" }));
      rows.push(el("li", {}, sample, this.diagonal));
    }
    return el("ul", { class: "legend" }, ...rows);
  }

  draw() {
    const width = Math.max(240, Math.round(this.element.clientWidth));
    if (width === this.width) return;
    this.width = width;
    this.height = this.tall ? Math.min(width, 420) : 250;
    made(this.drawing, { viewBox: `0 0 ${width} ${this.height}`, width, height: this.height }, []);
    this.scale();
    this.cursor = svg("path", { class: "cursor" });
    this.drawing.replaceChildren(...this.axes(), ...this.series.map((one) => this.drawn(one)), this.cursor);
  }

  scale() {
    const xs = range(this.points.map((point) => point[0]), this.x.range);
    const ys = range(this.points.map((point) => point[1]), this.y.range);
    const wide = this.width - MARGIN.left - MARGIN.right;
    const high = this.height - MARGIN.top - MARGIN.bottom;
    Object.assign(this, { xs, ys });
    this.px = (x) => Math.round(10 * (MARGIN.left + (wide * (x - xs[0])) / (xs[1] - xs[0]))) / 10;
    this.py = (y) => Math.round(10 * (MARGIN.top + high - (high * (y - ys[0])) / (ys[1] - ys[0]))) / 10;
  }

  axes() {
    const [left, right, bottom] = [MARGIN.left, this.width - MARGIN.right, this.height - MARGIN.bottom];
    const parts = ticks(this.ys, 5).flatMap((y) => [
      svg("path", { class: "grid", d: `M${left} ${this.py(y)}H${right}` }),
      svg("text", { class: "end", x: left - 6, y: this.py(y) + 4 }, tick(y)),
    ]);
    const named = this.x.names && this.x.names.map((name, place) => [place, name]);
    const steps = ticks(this.xs, Math.min(8, Math.floor(this.width / 70)), this.x.whole).map((x) => [x, tick(x)]);
    for (const [x, text] of named || steps) {
      parts.push(svg("path", { class: "grid", d: `M${this.px(x)} ${bottom}v4` }));
      parts.push(svg("text", { class: "middle", x: this.px(x), y: bottom + 17 }, text));
    }
    parts.push(svg("path", { class: "grid", d: `M${left} ${bottom}H${right}` }));
    parts.push(svg("text", { class: "middle title", x: (left + right) / 2, y: this.height - 6 }, this.x.label));
    const turn = `translate(13 ${(MARGIN.top + bottom) / 2}) rotate(-90)`;
    parts.push(svg("text", { class: "middle title", transform: turn }, this.y.label));
    if (this.diagonal) parts.push(svg("path", { class: "diagonal", d: this.middle() }));
    return parts;
  }

  middle() {
    const [low, high] = [Math.max(this.xs[0], this.ys[0]), Math.min(this.xs[1], this.ys[1])];
    return `M${this.px(low)} ${this.py(low)}L${this.px(high)} ${this.py(high)}`;
  }

  drawn(one) {
    const places = one.points.map(([x, y]) => [this.px(x), this.py(y)]);
    const group = svg("g", { class: `s${one.look}` });
    if (one.line && places.length) group.append(svg("path", { class: "line", d: `M${places.map((p) => p.join(" ")).join("L")}` }));
    if (one.marks || places.length === 1) {
      const mark = MARKS[one.look % MARKS.length];
      const d = places.map(([x, y]) => mark(x, y, one.faint ? 3 : 4)).join("");
      group.append(svg("path", { class: one.faint ? "mark faint" : "mark", d }));
    }
    return group;
  }

  point(event) {
    const box = this.drawing.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top].map((at) => (at * this.width) / box.width);
    const weight = this.line_like ? 0.05 : 1;
    let [best, nearest] = [Infinity, -1];
    this.points.forEach((point, index) => {
      const far = (this.px(point[0]) - x) ** 2 + weight * (this.py(point[1]) - y) ** 2;
      if (far < best) [best, nearest] = [far, index];
    });
    this.read(nearest);
  }

  key(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || !this.points.length) return;
    event.preventDefault();
    this.read(Math.min(this.points.length - 1, Math.max(0, this.at + step)));
  }

  read(index) {
    this.at = index;
    const point = this.points[index];
    this.readout.textContent = point ? point[2] : "";
    this.cursor?.setAttribute("d", point ? MARKS[0](this.px(point[0]), this.py(point[1]), 7) : "");
  }
}

function swatch(one) {
  const sample = svg("svg", { viewBox: "0 0 32 12", class: `s${one.look}`, "aria-hidden": true });
  if (one.line) sample.append(svg("path", { class: "line", d: "M2 6H30" }));
  if (one.marks) sample.append(svg("path", { class: "mark", d: MARKS[one.look % MARKS.length](16, 6, 4) }));
  return sample;
}
