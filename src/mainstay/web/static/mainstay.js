// What a page does beyond forms and links: live updates, shortcuts, tooltips, logs that grow. Without it everything
// still works by reloading.
(() => {
  "use strict";
  const frame = () => document.getElementById("frame");
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

  // --- live updates: the journal's topics by server-sent events, else by asking every ten seconds ------------------

  const PAUSE = { results: 3000, log: 1000 }; // answers come all the time; everything else is shown at once
  const POLL = 10000;
  let due = 0, timer = null, stream = null, lost = null;

  function refresh() {
    timer = null; due = 0;
    if (document.hidden || !frame()) return;
    htmx.trigger(frame(), "mainstay:refresh");
  }
  function soon(topics) {
    const wait = Math.min(...topics.map((topic) => PAUSE[topic] ?? 150));
    const at = Date.now() + wait;
    if (timer && at >= due) return;
    clearTimeout(timer);
    due = at;
    timer = setTimeout(refresh, wait);
  }
  function connect() {
    if (!frame() || !window.EventSource) return setInterval(refresh, POLL);
    stream = new EventSource("/events?topics=" + encodeURIComponent(frame().dataset.topics));
    stream.addEventListener("open", () => said(true));
    stream.addEventListener("change", (event) => soon(event.data.split(",")));
    stream.addEventListener("error", () => {
      lost ??= Date.now();
      if (Date.now() - lost > 4000) said(false);
      if (stream.readyState === EventSource.CLOSED) setTimeout(connect, 5000);
    });
  }
  function said(live) {
    if (live) {
      if (lost && Date.now() - lost > 1000) soon(["incidents"]);
      lost = null;
    }
    document.documentElement.toggleAttribute("data-offline", !live);
    const words = live ? "" : "Connection lost: what you see is from " + new Date(lost).toLocaleTimeString() + ".";
    if ($("#offline").textContent !== words) $("#offline").textContent = words;
    $("#offline").className = live ? "sr" : "offline";
  }
  setInterval(() => { if (lost) { if (Date.now() - lost > 4000) said(false); refresh(); } }, POLL);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  document.addEventListener("htmx:after:request", (event) => {
    if (event.detail?.ctx?.response?.raw?.status === 401) location.assign("/login?next=" + encodeURIComponent(location.pathname + location.search));
  });
  addEventListener("pagehide", () => stream?.close());
  addEventListener("pageshow", (event) => { if (event.persisted) { connect(); refresh(); } });

  // --- "6 h ago" goes on counting between updates -------------------------------------------------------------------

  const STEPS = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [Infinity, 86400, "d"]];
  function ago(seconds) {
    if (Math.abs(seconds) < 1.5) return "now";
    const [, size, unit] = STEPS.find(([below]) => Math.abs(seconds) < below);
    const words = Math.floor(Math.abs(seconds) / size) + " " + unit;
    return seconds > 0 ? words + " ago" : "in " + words;
  }
  setInterval(() => {
    for (const element of $$("time[data-ago]")) {
      const words = ago((Date.now() - Date.parse(element.dateTime)) / 1000);
      if (element.textContent !== words) element.textContent = words;
    }
  }, 1000);

  // --- search as you type -------------------------------------------------------------------------------------------

  let typing = null;
  document.addEventListener("input", (event) => {
    if (!event.target.matches("[data-search-field]")) return;
    clearTimeout(typing);
    typing = setTimeout(() => search(event.target.form), 120);
  });
  document.addEventListener("submit", (event) => {
    if (event.target.matches("[data-search]")) { event.preventDefault(); search(event.target); }
    const words = (event.submitter && event.submitter.dataset.confirm) || event.target.dataset.confirm;
    if (words && !confirm(words)) event.preventDefault();
  });
  function search(form) {
    const fields = new URLSearchParams(new FormData(form));
    for (const [name, value] of [...fields]) if (!value) fields.delete(name);
    const address = location.pathname + (fields.size ? "?" + fields : "");
    history.replaceState(null, "", address);
    frame().setAttribute("hx-get", address);
    refresh();
  }

  // --- keyboard -----------------------------------------------------------------------------------------------------

  let waiting = null;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const field = event.target.closest("input, select, textarea");
    if (event.key === "Escape" && field) { field.blur(); return; }
    if (field || $("#help")?.open) return;
    if (waiting) {
      clearTimeout(waiting); waiting = null;
      const link = $('[data-go="' + CSS.escape(event.key) + '"]');
      if (link) { event.preventDefault(); link.click(); }
      return;
    }
    const act = KEYS[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  const KEYS = {
    "/": () => { const field = $("[data-search-field]"); field ? (field.focus(), field.select()) : location.assign("/#search"); },
    "g": () => { waiting = setTimeout(() => { waiting = null; }, 1500); },
    "?": () => $("#help")?.showModal(),
    "t": () => theme(),
    "j": () => step(1),
    "k": () => step(-1),
  };
  function step(by) {
    const links = $$("[data-row] a:first-of-type, [data-row-link]").filter((link) => link.offsetParent);
    const at = links.indexOf(document.activeElement);
    links[Math.max(0, Math.min(links.length - 1, at < 0 ? 0 : at + by))]?.focus();
  }
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-help]")) { event.preventDefault(); $("#help").showModal(); }
    if (event.target === $("#help")) $("#help").close();
  });
  if (location.hash === "#search") $("[data-search-field]")?.focus();

  // --- light and dark -----------------------------------------------------------------------------------------------

  function theme() {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    document.cookie = "mainstay_theme=" + root.dataset.theme + "; path=/; max-age=31536000; samesite=lax";
    dispatchEvent(new Event("mainstay:theme"));
  }
  document.addEventListener("submit", (event) => {
    if (event.target.matches("[data-theme-form]")) { event.preventDefault(); theme(); }
  });

  // --- what a tick of a bar stands for ------------------------------------------------------------------------------

  const WORDS = ["no data", "healthy", "unknown", "warning", "failing"];
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("aria-hidden", "true");
  document.body.append(tip);
  const zone = frame()?.dataset.zone;
  const day = (at) => new Date(at).toLocaleDateString("en-GB", { timeZone: "UTC", weekday: "short", day: "numeric", month: "short" });
  const minute = (at) => new Date(at).toLocaleTimeString("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit" });
  document.addEventListener("pointermove", (event) => {
    const bar = event.target.closest?.(".bar[data-ticks]");
    if (!bar) { tip.hidden = true; return; }
    const box = bar.getBoundingClientRect();
    const ticks = bar.dataset.ticks, width = Number(bar.closest("[data-width]")?.dataset.width) * 60000;
    const at = Math.max(0, Math.min(ticks.length - 1, Math.floor((event.clientX - box.left) / box.width * ticks.length)));
    const end = Math.ceil(Date.now() / width) * width - (ticks.length - 1 - at) * width;
    tip.textContent = (width >= 86400000 ? day(end - width) : minute(end - width) + " to " + minute(end)) + ": " + WORDS[ticks[at]];
    tip.hidden = false;
    const left = Math.min(innerWidth - tip.offsetWidth - 8, Math.max(8, event.clientX - tip.offsetWidth / 2));
    tip.style.left = left + "px";
    tip.style.top = box.top - tip.offsetHeight - 8 + "px";
  });

  // --- a run's log grows --------------------------------------------------------------------------------------------

  function follow(log) {
    const source = new EventSource(log.dataset.stream + "?after=" + log.dataset.after);
    const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    log.scrollTop = log.scrollHeight;
    source.addEventListener("lines", (event) => {
      const stick = atEnd();
      for (const { time, line, seq } of JSON.parse(event.data)) {
        if (seq <= Number(log.dataset.after)) continue;
        const row = document.createElement("div"), at = document.createElement("time"), text = document.createElement("span");
        at.textContent = time;
        text.textContent = line;
        row.append(at, text);
        log.append(row);
        log.dataset.after = seq;
      }
      while (log.childElementCount > 2000) log.firstElementChild.remove();
      if (stick) log.scrollTop = log.scrollHeight;
    });
    source.addEventListener("progress", () => soon(["runs"]));
    source.addEventListener("end", () => { source.close(); refresh(); });
    addEventListener("pagehide", () => source.close());
  }
  const log = $("[data-stream]");
  if (log && window.EventSource) follow(log);

  connect();
})();
