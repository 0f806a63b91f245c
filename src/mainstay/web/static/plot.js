// Plots with a cursor; the page carries the same plot as a picture for those without scripts.
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
  const LATENCY = "p95:accent:p95,p50:ok-fill:p50:dash";
  const perSecond = (value) => value == null ? "–" : value === 0 ? "0" : (value < 10 ? Number(value.toPrecision(2)) : Math.round(value).toLocaleString("en")) + "/s";

  // "COLUMN:TOKEN:LABEL[:dash],..." says which columns are drawn, and how.
  const linesOf = (box) => (box.dataset.lines || LATENCY).split(",").map((one) => {
    const [column, colour, label, dash] = one.split(":");
    return { column, colour, label, dash };
  });

  function draw(box, data) {
    box.uplot?.destroy();
    const write = box.dataset.unit === "/s" ? perSecond : milliseconds;
    const least = box.dataset.unit === "/s" ? 0.01 : 1;
    const lines = linesOf(box);
    const axis = { stroke: token("--ink-3"), font: "12px " + token("--sans"), grid: { stroke: token("--line"), width: 1 }, ticks: { show: false } };
    const few = box.clientWidth < 500;
    box.uplot = new uPlot({
      width: box.clientWidth, height: 236, padding: [10, 8, 0, 0],
      tzDate: (at) => uPlot.tzDate(new Date(at * 1e3), zone),
      cursor: { points: { size: 7 }, drag: { x: true, y: false } },
      scales: { x: { range: [data.from, data.to] }, y: { range: (_, low, high) => [0, Math.max(high * 1.1, least)] } },
      axes: [{ ...axis, space: few ? 70 : 90, values: PERIODS }, { ...axis, size: 58, values: (_, ticks) => ticks.map(write) }],
      series: [
        { value: (_, at) => at == null ? "–" : new Date(at * 1000).toLocaleString("en-GB", { timeZone: zone, dateStyle: "medium", timeStyle: "short" }) },
        ...lines.map(({ colour, label, dash }) => ({
          label, stroke: token("--" + colour), width: dash ? 1.4 : 1.6, dash: dash ? [5, 4] : undefined, value: (_, value) => write(value), points: { show: false },
        })),
      ],
    }, [data.at, ...lines.map(({ column }) => data[column])], box);
    box.querySelectorAll(".u-legend tr").forEach((row, at) => {
      if (at) row.style.setProperty("--mark", "var(--" + lines[at - 1].colour + ")");
    });
  }

  const fetched = new Map();
  const get = (address) => {
    if (!fetched.has(address)) {
      fetched.set(address, fetch(address, { headers: { Accept: "application/json" } }).then((answer) => answer.ok ? answer.json() : null));
    }
    return fetched.get(address);
  };

  async function show(box) {
    const data = await get(box.dataset.plot);
    if (!data?.at.length) return;
    box.replaceChildren();
    draw(box, data);
    let width = box.clientWidth;
    new ResizeObserver(() => {
      if (box.clientWidth !== width) { width = box.clientWidth; draw(box, data); }
    }).observe(box);
    addEventListener("mainstay:theme", () => draw(box, data));
  }

  document.querySelectorAll("[data-plot]").forEach((box) => show(box));
})();
