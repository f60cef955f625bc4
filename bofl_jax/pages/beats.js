// Explained test beats: a band of attribution behind each lead, stronger where the attribution is larger.

const BEAT = { width: 320, lead: 110, foot: 18 };

function attribution_band(attribution, top) {
  const step = BEAT.width / attribution.length;
  return attribution.map((value, t) => {
    const strength = Math.round(10 * Math.abs(value ?? 0)) / 10;
    if (!strength) return null;
    const box = { x: (t * step).toFixed(2), y: top, width: (step + 0.2).toFixed(2), height: BEAT.lead };
    return svg("rect", { ...box, class: value > 0 ? "for" : "against", "fill-opacity": 0.75 * strength });
  });
}

function lead_trace(x, top) {
  const [low, high] = axis_range(x.filter((value) => value != null));
  const step = BEAT.width / x.length;
  const y = (value) => top + BEAT.lead - 6 - ((BEAT.lead - 12) * ((value ?? low) - low)) / (high - low || 1);
  const d = x.map((value, t) => `${(step * (t + 0.5)).toFixed(1)} ${y(value).toFixed(1)}`).join("L");
  return svg("path", { class: "trace", d: `M${d}` });
}

function beat_figure(beats, index) {
  const [leads, attribution] = [beats.x[index], beats.attribution[index]];
  const height = leads.length * BEAT.lead + BEAT.foot;
  const [label, predicted] = [beats.label[index], beats.predicted[index]].map((k) => beats.classes[k]);
  const probability = format_score(beats.probability[index][beats.predicted[index]]);
  const seconds = (leads[0].length / beats.sample_rate).toFixed(2);
  const caption = `client ${beats.client[index]}: true ${label}, predicted ${predicted} (${probability})`;
  const parts = leads.flatMap((lead, l) => [...attribution_band(attribution[l], l * BEAT.lead), lead_trace(lead, l * BEAT.lead)]);
  const drawing = svg("svg", { viewBox: `0 0 ${BEAT.width} ${height}`, role: "img", "aria-label": `Beat, ${caption}` });
  drawing.append(...parts.filter(Boolean), svg("text", { x: 0, y: height - 4 }, "0 s"));
  drawing.append(svg("text", { class: "end", x: BEAT.width, y: height - 4 }, `${seconds} s`));
  return el("figure", {}, drawing, el("figcaption", {}, caption));
}

function explained_beats({ beats }) {
  if (!beats) {
    const key = el("code", {}, "evaluate.explain = N");
    return [el("p", {}, "This run explains no beats: ", key, " in the configuration explains N of them.")];
  }
  const figures = beats.x.map((_, index) => beat_figure(beats, index));
  const [shown, total] = [format_count(figures.length), format_count(beats.total)];
  const legend = el("p", {},
    el("span", { class: "key for" }), "Positive and ", el("span", { class: "key against" }),
    "negative attribution, relative to the largest of the beat. The trace is the input of the model; leads are drawn one below another.",
    figures.length < beats.total ? ` These are the first ${shown} of ${total} beats.` : "",
  );
  return [legend, el("div", { class: "beats" }, ...figures)];
}
