"use strict";
// Films of one world side by side: one scrubber for all of them. `d` as drawing/film_page.py writes it.
function film(root, d, keys) {
  const films = d.films, last = films[0].counts.length - 1, top_ = d.top, SECONDS = 0.55;
  const smooth = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  const extent = (i) => Math.max(...(d.polygons.length ? d.polygons.flat() : d.places).map((p) => p[i])) + (d.polygons.length ? 8 : d.radius * 1.8);
  const W = Math.max(extent(0), 240), H = extent(1), DARK = "#262230", LIGHT = "#fbfaf6";
  let time = Math.min(last, Number((location.hash.match(/step=([\d.]+)/) || [])[1] || 0)), playing = false, before = null, pointed = -1, ink = {};

  function make(name, given, ...inside) {
    const e = document.createElement(name);
    Object.entries(given).forEach(([key, value]) => e.setAttribute(key, value));
    e.append(...inside);
    return e;
  }
  const button = make("button", { type: "button" }, "Play"), now = make("output", {});
  const slider = make("input", { type: "range", min: 0, max: last, step: 1, "aria-label": "step of the film" });
  const shots = films.map((film_, k) => ({
    ...film_, k,
    map: make("canvas", { role: "img" }), bars: make("canvas", { role: "img" }), line: make("p", { class: "film-line" }),
  }));
  const chart = make("canvas", { role: "img" }), key = make("p", { class: "film-key" });
  const barsTitle = d.bars.length < d.names.length ? `agents at the ${d.bars.length} fullest of ${d.names.length} nodes` : "agents at each node";
  const several = films.length > 1, rewards = [make("p", { class: "film-head" }, "mean reward of an agent, by step"), chart];
  root.classList.add(several ? "several" : "one");
  root.replaceChildren(
    make("div", { class: "film-controls" }, button, slider, now),
    make("div", { class: "film-stage" }, ...shots.map((s) => make("div", { class: "film-shot" },
      make("div", {}, ...(several ? [make("p", { class: "film-title" }, s.title)] : []), s.line, s.map),
      make("div", {}, make("p", { class: "film-head" }, barsTitle), s.bars, ...(several ? [] : rewards))))),
    ...(several ? rewards : []), key,
    make("p", { class: "film-key" }, "← → step, Home and End, space plays; point at a node to read its name"));
  shots.forEach((s) => { s.map.style.maxWidth = `calc(max(78vh, 420px) * ${W / H})`; });  // all of it is seen without scrolling

  function colour(n) {
    const place = Math.sqrt(Math.min(1, n / top_)) * (d.scale.length - 1), i = Math.min(Math.floor(place), d.scale.length - 2), f = place - i;
    return d.scale[i].map((c, k) => Math.round(c + f * (d.scale[i + 1][k] - c)));
  }
  const css = (c) => `rgb(${c})`;
  const light = (c) => 0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2] > 150;
  const step = () => Math.min(last, Math.round(time));

  function pen(canvas, width, height) {  // a canvas in its own units, sharp on every screen
    const dpr = window.devicePixelRatio || 1, shown = canvas.clientWidth || 1;
    const w = Math.round(shown * dpr), h = Math.round((shown * dpr * height) / width);
    if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
    const c = canvas.getContext("2d");
    c.setTransform(w / width, 0, 0, w / width, 0, 0);
    c.clearRect(0, 0, width, height);
    return [c, width / shown];  // units per pixel
  }

  function shape(c, v) {
    c.beginPath();
    const [x, y] = d.places[v], r = d.radius;
    if (d.polygons.length) { d.polygons[v].forEach(([a, b]) => c.lineTo(a, b)); c.closePath(); }
    else if (d.square) c.roundRect(x - r, y - r, 2 * r, 2 * r, 0.25 * r);
    else c.arc(x, y, r, 0, 7);
  }

  function drawMap(s) {
    const [c, unit] = pen(s.map, W, H), t = Math.floor(time), next = Math.min(t + 1, last);
    let f = smooth ? time - t : 0;
    f = f * f * (3 - 2 * f);
    if (!d.square && !d.polygons.length) {
      c.strokeStyle = ink.axis; c.lineWidth = 2 * unit;
      c.beginPath();
      for (const [a, b] of d.edges) { c.moveTo(...d.places[a]); c.lineTo(...d.places[b]); }
      c.stroke();
    }
    const size = Math.min(d.radius * (d.square ? 0.62 : 0.8), 30 * unit);
    d.places.forEach(([x, y], v) => {
      const n = s.counts[t][v] * (1 - f) + s.counts[next][v] * f, fill = colour(n);
      shape(c, v);
      c.fillStyle = css(fill); c.fill();
      c.lineWidth = (v === pointed ? 3 : 1.5) * unit;
      c.strokeStyle = v === pointed ? ink.ink : d.polygons.length ? ink.card : "#c9b9a8";
      c.stroke();
      if (size / unit >= 9 && !d.polygons.length) {
        c.font = `600 ${size}px system-ui, sans-serif`; c.textAlign = "center"; c.textBaseline = "middle";
        c.fillStyle = light(fill) ? DARK : LIGHT;
        c.fillText(Math.round(n), x, y);
      }
    });
    const r = Math.max(2.6 * unit, Math.min(0.11 * d.radius, 4.5 * unit));
    c.lineWidth = 1.2 * unit;
    s.dots[t].forEach((code, i) => {
      const a = d.spots[code >> 1], b = d.spots[s.dots[next][i] >> 1], o = d.offsets[i];
      c.beginPath();
      c.arc(a[0] + f * (b[0] - a[0]) + o[0], a[1] + f * (b[1] - a[1]) + o[1], r, 0, 7);
      c.fillStyle = code & 1 ? DARK : "#fff"; c.strokeStyle = code & 1 ? "#fff" : DARK;
      c.fill(); c.stroke();
    });
  }

  function drawBars(s) {
    const width = Math.max(150, Math.min(400, s.bars.clientWidth)), height = 0.625 * width;
    const [c, unit] = pen(s.bars, width, height), t = step(), floor = height - 4, room = floor - 22;
    const pitch = width / d.bars.length, thick = Math.min(0.82 * pitch, 34);
    c.strokeStyle = ink.grid; c.lineWidth = unit;
    c.beginPath(); c.moveTo(0, floor - room); c.lineTo(width, floor - room); c.moveTo(0, floor); c.lineTo(width, floor); c.stroke();
    c.fillStyle = ink.soft; c.font = `${13 * unit}px system-ui, sans-serif`; c.textAlign = "right";
    c.fillText(top_.toLocaleString("en"), width, floor - room - 5 * unit);
    d.bars.forEach((v, k) => {
      const n = s.counts[t][v], h = room * Math.min(1, n / top_), x = (k + 0.5) * pitch - thick / 2;
      c.fillStyle = css(colour(n)); c.fillRect(x, floor - h, thick, h);
      if (n) { c.strokeStyle = v === pointed ? ink.ink : "#8d6f62"; c.lineWidth = (v === pointed ? 2.5 : 0.8) * unit; c.strokeRect(x, floor - h, thick, h); }
    });
  }

  function drawRewards() {
    const width = chart.clientWidth > 600 ? 800 : 400, [c, unit] = pen(chart, width, 130);
    if (!last) return;
    const all = films.flatMap((s) => s.rewards), low = Math.min(0, ...all), high = Math.max(low + 1e-9, ...all);
    const x = (t) => 4 + ((t - 1) / Math.max(1, last - 1)) * (width - 8), y = (r) => 120 - ((r - low) / (high - low)) * 96;
    c.strokeStyle = ink.grid; c.lineWidth = unit;
    c.beginPath(); c.moveTo(0, y(0)); c.lineTo(width, y(0)); c.stroke();
    c.fillStyle = ink.soft; c.font = `${13 * unit}px system-ui, sans-serif`;
    c.fillText(`highest ${Math.max(...all).toFixed(4)}`, 0, 12 * unit);
    const t = step();
    films.forEach((s, k) => {
      c.strokeStyle = k ? ink.s1 : ink.accent; c.lineWidth = 2 * unit; c.lineJoin = "round";
      c.setLineDash(k ? [6 * unit, 3 * unit] : []);
      c.beginPath(); s.rewards.forEach((r, i) => c.lineTo(x(i + 1), y(r))); c.stroke();
      c.setLineDash([]);
      if (t) { c.fillStyle = k ? ink.s1 : ink.ink; c.beginPath(); c.arc(x(t), y(s.rewards[t - 1]), 4.5 * unit, 0, 7); c.fill(); }
    });
  }

  function words(s, t) {
    const free = s.counts[t].reduce((a, b) => a + b, 0), said = [`${d.population.toLocaleString("en")} agents`];
    if (d.free) said.push(`${free.toLocaleString("en")} of them with a choice`);
    if (t) said.push(`mean reward ${s.rewards[t - 1].toFixed(4)}`);
    if (pointed >= 0) said.push(`${d.names[pointed]}: ${s.counts[t][pointed].toLocaleString("en")}`);
    return said.join(" · ");
  }

  function draw() {
    const t = step();
    slider.value = t;
    now.textContent = `step ${t} of ${last}`;
    slider.setAttribute("aria-valuetext", `step ${t} of ${last}: ${shots.map((s) => `${s.title}, ${words(s, t)}`).join("; ")}`);
    shots.forEach((s) => {
      s.line.textContent = words(s, t);
      s.map.setAttribute("aria-label", `${s.title}: where the agents are. ${words(s, t)}`);
      s.bars.setAttribute("aria-label", `${s.title}: ${barsTitle}`);
      drawMap(s); drawBars(s);
    });
    chart.setAttribute("aria-label", `mean reward of an agent by step: ${films.map((s) => s.title).join(" and ")}`);
    drawRewards();
  }
  function dress() {  // the colours of the page, light or dark
    const style = getComputedStyle(root);
    ["ink", "soft", "grid", "axis", "card", "accent", "s1"].forEach((name) => { ink[name] = style.getPropertyValue(`--${name}`).trim(); });
    draw();
  }

  function turn(clock) {
    if (!playing) return;
    time = Math.min(last, time + Math.min(0.1, (clock - (before ?? clock)) / 1000) / SECONDS);
    before = clock;
    if (time >= last) stop();
    draw();
    if (playing) requestAnimationFrame(turn);
  }
  function stop() { playing = false; button.textContent = "Play"; }
  function play() {
    if (!last) return;
    if (time >= last) time = 0;
    playing = true; before = null; button.textContent = "Pause";
    requestAnimationFrame(turn);
  }
  function go(t) { stop(); time = Math.max(0, Math.min(last, t)); draw(); }

  slider.addEventListener("input", () => go(Number(slider.value)));
  button.addEventListener("click", () => (playing ? (stop(), draw()) : play()));
  keys.addEventListener("keydown", (e) => {
    const moves = { ArrowRight: Math.floor(time + 1e-6) + 1, ArrowLeft: Math.ceil(time - 1e-6) - 1, Home: 0, End: last };
    if (e.key in moves) { e.preventDefault(); go(moves[e.key]); }
    else if (e.key === " " && e.target !== button) { e.preventDefault(); playing ? (stop(), draw()) : play(); }
  });
  shots.forEach(({ map }) => {
    map.addEventListener("pointermove", (e) => {
      const unit = W / map.clientWidth, [x, y] = [e.offsetX * unit, e.offsetY * unit];
      const far = d.places.map(([a, b]) => Math.hypot(a - x, b - y));
      const near = far.indexOf(Math.min(...far)), was = pointed;
      pointed = far[near] < Math.max(d.radius * 1.5, 40) ? near : -1;
      if (pointed !== was && !playing) draw();
    });
    map.addEventListener("pointerleave", () => { pointed = -1; draw(); });
  });
  window.addEventListener("resize", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", dress);

  function mark(kind, text) { return make("span", { class: "film-mark" }, make("span", { class: kind }), text); }
  const ramp = Array.from({ length: 9 }, (_, i) => css(colour((i / 8) ** 2 * top_)));
  const scale = mark("film-ramp", `${top_.toLocaleString("en")} agents or more`);
  scale.prepend("0 ");
  scale.querySelector(".film-ramp").style.background = `linear-gradient(90deg,${ramp})`;
  key.append(scale, mark("film-dot", films[0].dots[0].length < d.population ? `one of ${films[0].dots[0].length} agents followed` : "an agent"));
  if (d.free) key.append(mark("film-dot busy", "one without a choice"));
  if (several) key.append(...films.map((s, k) => mark(k ? "film-stroke second" : "film-stroke", s.title)));
  dress();
  return { play, smooth };
}
