// One kind of chart for everything: points in series, drawn as lines or markers, and a text for the point in focus.

const MARGIN = { left: 62, right: 14, top: 10, bottom: 44 };
const MARKERS = [
  (x, y, r) => `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`,
  (x, y, r) => `M${x} ${y - 1.2 * r}l${1.2 * r} ${2.1 * r}h${-2.4 * r}z`,
  (x, y, r) => `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
  (x, y, r) => `M${x} ${y - 1.4 * r}l${1.4 * r} ${1.4 * r}l${-1.4 * r} ${1.4 * r}l${-1.4 * r} ${-1.4 * r}z`,
];
const STYLES = 7; // colours in page.css

/** Ticks of an axis: multiples of 1, 2 or 5 times a power of ten. */
function ticks([low, high], most, whole) {
  const rough = (high - low) / most || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 5, 10].map((digit) => digit * power).find((size) => size >= rough * 0.9);
  if (whole) step = Math.max(1, Math.round(step));
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

/** "150K" for 150000; smaller numbers in full. */
function tick_label(value) {
  return value.toLocaleString("en", Math.abs(value) >= 1e4 ? { notation: "compact" } : { maximumSignificantDigits: 6 });
}

/** The range of some values with a margin, or the range that is given. */
function axis_range(values, given) {
  if (given) return given;
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  if (low > high) return [0, 1];
  const margin = high > low ? 0.05 * (high - low) : Math.abs(high) * 0.05 || 0.5;
  return [low >= 0 ? Math.max(0, low - margin) : low - margin, high + margin];
}

class Chart {
  /**
   * @param {object} spec title; x and y {label, range, whole, names}; diagonal, the legend of the line x = y; square;
   *   by_x, whether the pointer finds points by x more than by y;
   *   series [{name, style, line, markers, faint, unlisted: not in the legend, points: [[x, y, text]]}].
   */
  constructor(spec) {
    Object.assign(this, spec);
    this.points = this.series.flatMap((series) => series.points).sort((a, b) => a[0] - b[0]);
    this.focus = -1;
    this.readout = el("output", { class: "readout" });
    this.drawing = svg("svg", { tabindex: 0, role: "img", "aria-label": this.description() });
    this.drawing.addEventListener("pointermove", (event) => this.on_pointer(event));
    this.drawing.addEventListener("keydown", (event) => this.on_key(event));
    this.drawing.addEventListener("pointerleave", () => this.set_focus(-1));
    this.drawing.addEventListener("blur", () => this.set_focus(-1));
    const caption = el("figcaption", {}, this.title);
    this.element = el("figure", {}, caption, this.legend(), this.drawing, this.readout);
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  description() {
    const names = this.series.map((series) => series.name).join(", ");
    return `${this.title}: ${this.y.label} against ${this.x.label}, ${names}. The arrow keys read out the values.`;
  }

  legend() {
    if (this.series.length < 2 && !this.diagonal) return null; // the caption is enough
    const listed = this.series.filter((series) => !series.unlisted);
    const rows = listed.map((series) => el("li", {}, legend_sample(series), series.name));
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
    this.height = this.square ? Math.min(width, 420) : 250;
    fill(this.drawing, { viewBox: `0 0 ${width} ${this.height}`, width, height: this.height }, []);
    this.set_scales();
    this.cursor = svg("path", { class: "cursor" });
    this.drawing.replaceChildren(...this.axes(), ...this.series.map((series) => this.series_group(series)), this.cursor);
  }

  /** Functions px and py from values to pixels. */
  set_scales() {
    const xs = axis_range(this.points.map((point) => point[0]), this.x.range);
    const ys = axis_range(this.points.map((point) => point[1]), this.y.range);
    const width = this.width - MARGIN.left - MARGIN.right;
    const height = this.height - MARGIN.top - MARGIN.bottom;
    Object.assign(this, { xs, ys });
    this.px = (x) => Math.round(10 * (MARGIN.left + (width * (x - xs[0])) / (xs[1] - xs[0]))) / 10;
    this.py = (y) => Math.round(10 * (MARGIN.top + height - (height * (y - ys[0])) / (ys[1] - ys[0]))) / 10;
  }

  axes() {
    const [left, right, bottom] = [MARGIN.left, this.width - MARGIN.right, this.height - MARGIN.bottom];
    const parts = ticks(this.ys, 5).flatMap((y) => [
      svg("path", { class: "grid", d: `M${left} ${this.py(y)}H${right}` }),
      svg("text", { class: "end", x: left - 6, y: this.py(y) + 4 }, tick_label(y)),
    ]);
    const most = Math.min(8, Math.floor(this.width / 70));
    const labels = this.x.names
      ? this.x.names.map((name, index) => [index, name])
      : ticks(this.xs, most, this.x.whole).map((x) => [x, tick_label(x)]);
    for (const [x, text] of labels) {
      parts.push(svg("path", { class: "grid", d: `M${this.px(x)} ${bottom}v4` }));
      parts.push(svg("text", { class: "middle", x: this.px(x), y: bottom + 17 }, text));
    }
    parts.push(svg("path", { class: "grid", d: `M${left} ${bottom}H${right}` }));
    parts.push(svg("text", { class: "middle title", x: (left + right) / 2, y: this.height - 6 }, this.x.label));
    const transform = `translate(13 ${(MARGIN.top + bottom) / 2}) rotate(-90)`;
    parts.push(svg("text", { class: "middle title", transform }, this.y.label));
    if (this.diagonal) parts.push(svg("path", { class: "diagonal", d: this.diagonal_path() }));
    return parts;
  }

  diagonal_path() {
    const [low, high] = [Math.max(this.xs[0], this.ys[0]), Math.min(this.xs[1], this.ys[1])];
    return `M${this.px(low)} ${this.py(low)}L${this.px(high)} ${this.py(high)}`;
  }

  series_group(series) {
    const pixels = series.points.map(([x, y]) => [this.px(x), this.py(y)]);
    const group = svg("g", { class: `s${series.style}` });
    if (series.line && pixels.length) {
      group.append(svg("path", { class: "line", d: `M${pixels.map((pixel) => pixel.join(" ")).join("L")}` }));
    }
    if (series.markers || pixels.length === 1) {
      const marker = MARKERS[series.style % MARKERS.length];
      const d = pixels.map(([x, y]) => marker(x, y, series.faint ? 3 : 4)).join("");
      group.append(svg("path", { class: series.faint ? "mark faint" : "mark", d }));
    }
    return group;
  }

  on_pointer(event) {
    const box = this.drawing.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top].map((pixel) => (pixel * this.width) / box.width);
    const weight = this.by_x ? 0.05 : 1;
    let [smallest, nearest] = [Infinity, -1];
    this.points.forEach((point, index) => {
      const distance = (this.px(point[0]) - x) ** 2 + weight * (this.py(point[1]) - y) ** 2;
      if (distance < smallest) [smallest, nearest] = [distance, index];
    });
    this.set_focus(nearest);
  }

  on_key(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || !this.points.length) return;
    event.preventDefault();
    this.set_focus(Math.min(this.points.length - 1, Math.max(0, this.focus + step)));
  }

  /** Read out a point and mark it; -1: none. */
  set_focus(index) {
    this.focus = index;
    const point = this.points[index];
    this.readout.textContent = point ? point[2] : "";
    this.cursor?.setAttribute("d", point ? MARKERS[0](this.px(point[0]), this.py(point[1]), 7) : "");
  }
}

function legend_sample(series) {
  const sample = svg("svg", { viewBox: "0 0 32 12", class: `s${series.style}`, "aria-hidden": true });
  if (series.line) sample.append(svg("path", { class: "line", d: "M2 6H30" }));
  if (series.markers) sample.append(svg("path", { class: "mark", d: MARKERS[series.style % MARKERS.length](16, 6, 4) }));
  return sample;
}
