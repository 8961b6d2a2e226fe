"use strict";
// Charts and maps: the element with data-i = i is shown, and says[i] read out, where the pointer or the arrow keys are.
function listen(chart) {
  const says = JSON.parse(chart.dataset.says), plot = chart.querySelector(".plot"), out = chart.querySelector(".readout");
  const hint = out.textContent, last = says.length - 1;
  let now = -1;
  function show(i) {
    now = i;
    plot.querySelectorAll(".on").forEach((e) => e.classList.remove("on"));
    if (i >= 0) plot.querySelectorAll(`[data-i="${i}"]`).forEach((e) => e.classList.add("on"));
    out.textContent = i < 0 ? hint : says[i];
    plot.setAttribute("aria-valuenow", Math.max(i, 0) + 1);
    plot.setAttribute("aria-valuetext", i < 0 ? hint : says[i]);
  }
  function near(event) {
    const svg = event.target.closest("svg");
    if (!svg) return now;
    if (!svg.dataset.at) { const node = event.target.closest("[data-i]"); return node ? Number(node.dataset.i) : now; }
    const box = svg.getBoundingClientRect(), at = JSON.parse(svg.dataset.at);
    const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    const far = at.map((place) => Math.abs(place - x));
    return far.indexOf(Math.min(...far));
  }
  const start = Math.min(Number(chart.dataset.start), last);
  const given = { tabindex: 0, role: "slider", "aria-label": plot.dataset.title, "aria-valuemin": 1, "aria-valuemax": last + 1 };
  Object.entries(given).forEach(([name, value]) => plot.setAttribute(name, value));
  show(-1);
  plot.addEventListener("pointermove", (event) => show(near(event)));
  plot.addEventListener("pointerdown", (event) => show(near(event)));
  plot.addEventListener("pointerleave", () => { if (document.activeElement !== plot) show(-1); });
  plot.addEventListener("focus", () => { if (now < 0) show(start); });
  plot.addEventListener("blur", () => show(-1));
  plot.addEventListener("keydown", (event) => {
    const here = now < 0 ? start : now;
    const to = { ArrowRight: here + 1, ArrowUp: here + 1, ArrowLeft: here - 1, ArrowDown: here - 1, Home: 0, End: last, Escape: -1 };
    if (!(event.key in to)) return;
    event.preventDefault();
    show(event.key === "Escape" ? -1 : Math.max(0, Math.min(last, to[event.key])));
  });
}
// What scrolls sideways on this window can be reached by the keys.
function reach() {
  document.querySelectorAll(".scroll, pre").forEach((box) => {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0; else box.removeAttribute("tabindex");
  });
}
document.querySelectorAll("figure.chart").forEach(listen);
reach();
addEventListener("resize", reach);
document.addEventListener("toggle", reach, true);
