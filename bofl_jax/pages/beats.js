// Test beats with what the model made its decision by: a band behind the trace, stronger where the attribution is larger.

const BEAT = { width: 320, lead: 110, foot: 18 };

function band(attribution, top) {
  const step = BEAT.width / attribution.length;
  return attribution.map((value, t) => {
    const strength = Math.round(10 * Math.abs(value ?? 0)) / 10;
    if (!strength) return null;
    const place = { x: (t * step).toFixed(2), y: top, width: (step + 0.2).toFixed(2), height: BEAT.lead };
    return svg("rect", { ...place, class: value > 0 ? "for" : "against", "fill-opacity": 0.75 * strength });
  });
}

function trace(x, top) {
  const [low, high] = range(x.filter((v) => v != null));
  const step = BEAT.width / x.length;
  const y = (v) => top + BEAT.lead - 6 - ((BEAT.lead - 12) * ((v ?? low) - low)) / (high - low || 1);
  const d = x.map((v, t) => `${(step * (t + 0.5)).toFixed(1)} ${y(v).toFixed(1)}`).join("L");
  return svg("path", { class: "trace", d: `M${d}` });
}

function beat(data, index) {
  const [leads, attribution] = [data.beats.x[index], data.beats.attribution[index]];
  const height = leads.length * BEAT.lead + BEAT.foot;
  const [label, predicted] = [data.beats.label[index], data.beats.predicted[index]].map((k) => data.beats.classes[k]);
  const sure = share(data.beats.probability[index][data.beats.predicted[index]]);
  const seconds = (leads[0].length / data.beats.sample_rate).toFixed(2);
  const words = `client ${data.beats.client[index]}: true ${label}, predicted ${predicted} (${sure})`;
  const parts = leads.flatMap((lead, l) => [...band(attribution[l], l * BEAT.lead), trace(lead, l * BEAT.lead)]);
  const drawing = svg("svg", { viewBox: `0 0 ${BEAT.width} ${height}`, role: "img", "aria-label": `Beat, ${words}` });
  drawing.append(...parts.filter(Boolean), svg("text", { x: 0, y: height - 4 }, "0 s"));
  drawing.append(svg("text", { class: "end", x: BEAT.width, y: height - 4 }, `${seconds} s`));
  return el("figure", {}, drawing, el("figcaption", {}, words));
}

function beats(data) {
  if (!data.beats) {
    return [el("p", {}, "None in this run directory: ", el("code", {}, "evaluate.explain = N"), " in the configuration makes N.")];
  }
  const drawn = data.beats.x.map((_, index) => beat(data, index));
  const key = el("p", {},
    el("span", { class: "key for" }), "positive and ", el("span", { class: "key against" }),
    "negative attribution, relative to the largest of the beat; amplitude as the model sees it, leads one below another.",
    drawn.length < data.beats.total ? ` The first ${count(drawn.length)} of ${count(data.beats.total)}.` : "",
  );
  return [key, el("div", { class: "beats" }, ...drawn)];
}
