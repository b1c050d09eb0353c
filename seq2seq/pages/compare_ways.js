"use strict";

// Readings and methods of every variant, and what is left with fewer heads.

function ways() {
  if (!DATA.ways) return;
  const place = element("div", { class: "scroll" }), chart = element("div");
  const aligned = DATA.ways.rows.some(({ point }) => point);
  section("Ways to say where it looks", "Each variant by every reading of its attention, and by the methods of seq2seq trust.",
    aligned ? element("div", { class: "plot" }, element("h3", {}, "AER by reading, %"), chart) : "", place,
    ...DATA.ways.notes.map((note) => element("p", { class: "note" }, note)));
  const readings = [...new Set(DATA.ways.rows.flatMap(({ point }) => (point ? [point.reading] : [])))];
  function draw() {
    const shown = visible();
    const rows = shown.flatMap((variant) => DATA.ways.rows.filter((row) => row.variant === variant.name).map((row, i) =>
      element("tr", {}, element("td", {}, ...(i ? [] : [swatch(variant), variant.name])),
        ...row.cells.map((cell, k) => element("td", { "data-way": DATA.ways.heads[k], style: k ? null : "text-align:left" }, cell)))));
    place.replaceChildren(element("table", { class: "ways" },
      element("thead", {}, element("tr", {}, ...["variant", ...DATA.ways.heads].map((head, k) => element("th", { scope: "col", style: k === 1 ? "text-align:left" : null }, head)))),
      element("tbody", {}, ...rows)));
    if (!aligned) return;
    const traces = shown.map((variant) => {
      const points = new Map(DATA.ways.rows.filter((row) => row.variant === variant.name && row.point).map(({ point }) => [point.reading, point.aer]));
      return line(variant, readings, readings.map((name) => points.get(name) ?? null), { mode: "lines+markers", marker: { size: 8 } });
    }).filter(({ y }) => y.some((value) => value !== null));
    plot(chart, traces, { x: { type: "category" }, y: { rangemode: "tozero" } });
  }
  redraw.push(draw);
  replot.push(draw);
  draw();
}

function headsKept() {
  const kinds = [["bleu", "BLEU"], ["aer", "AER, %"]].filter(([kind]) => variants.some((v) => v.headsKept.some((curve) => kind in curve)));
  if (!kinds.length) return;
  const nodes = kinds.map(() => element("div", { class: "curve" }));
  section("Heads kept", "Without ever more heads, as seq2seq heads measured it; nothing was trained after the cut.",
    element("div", { class: "plots" }, ...kinds.map(([, title], i) => element("div", {}, element("h3", {}, title), nodes[i]))));
  function draw() {
    kinds.forEach(([kind], i) => {
      const most = Math.max(...variants.flatMap((variant) => variant.headsKept.flatMap((curve) => curve.heads)));
      const traces = visible().flatMap((variant) => variant.headsKept.filter((curve) => kind in curve).map((curve) =>
        line(variant, curve.heads, curve[kind], { unit: ` heads of ${plain(`${curve.split}, order: ${curve.by}`)}`, mode: "lines+markers", marker: { size: 5 } })));
      plot(nodes[i], traces, { x: { title: { text: "heads kept", standoff: 8 }, autorange: "reversed", tick0: 0, dtick: Math.ceil(most / 8) }, y: { rangemode: "tozero" } });
    });
  }
  redraw.push(draw);
  replot.push(draw);
  draw();
}

ways();
headsKept();
