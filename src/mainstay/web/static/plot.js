// Latency plots with a cursor; the page carries the same plot as a picture for those without scripts.
(() => {
  "use strict";
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const milliseconds = (value) => value == null ? "–" : value >= 1000 ? (value / 1000).toFixed(1) + " s" : value.toFixed(value < 10 ? 1 : 0) + " ms";
  const zone = document.getElementById("frame").dataset.zone;
  const PERIODS = [
    [3600 * 24 * 365, "{YYYY}", null, null, null, null, null, null, 1],
    [3600 * 24 * 28, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
    [3600 * 24, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
    [3600, "{HH}:{mm}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
    [60, "{HH}:{mm}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
    [1, "{HH}:{mm}:{ss}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
  ];
  let plot = null;

  function draw(box, data) {
    plot?.destroy();
    const axis = { stroke: token("--ink-3"), font: "12px " + token("--sans"), grid: { stroke: token("--line"), width: 1 }, ticks: { show: false } };
    const few = box.clientWidth < 500;
    plot = new uPlot({
      width: box.clientWidth, height: 236, padding: [10, 8, 0, 0],
      tzDate: (at) => uPlot.tzDate(new Date(at * 1e3), zone),
      cursor: { points: { size: 7 }, drag: { x: true, y: false } },
      scales: { x: { range: [data.from, data.to] }, y: { range: (_, low, high) => [0, Math.max(high * 1.1, 1)] } },
      axes: [{ ...axis, space: few ? 70 : 90, values: PERIODS }, { ...axis, size: 58, values: (_, ticks) => ticks.map(milliseconds) }],
      series: [
        { value: (_, at) => at == null ? "–" : new Date(at * 1000).toLocaleString("en-GB", { timeZone: zone, dateStyle: "medium", timeStyle: "short" }) },
        { label: "p95", stroke: token("--accent"), width: 1.6, value: (_, value) => milliseconds(value), points: { show: false } },
        { label: "p50", stroke: token("--ok-fill"), width: 1.4, dash: [5, 4], value: (_, value) => milliseconds(value), points: { show: false } },
      ],
    }, [data.at, data.p95, data.p50], box);
  }

  async function show(box) {
    const answer = await fetch(box.dataset.plot, { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    const data = await answer.json();
    if (!data.at.length) return;
    box.replaceChildren();
    draw(box, data);
    let width = box.clientWidth;
    new ResizeObserver(() => {
      if (box.clientWidth !== width) { width = box.clientWidth; draw(box, data); }
    }).observe(box);
    addEventListener("mainstay:theme", () => draw(box, data));
  }

  const box = document.querySelector("[data-plot]");
  if (box) show(box);
})();
