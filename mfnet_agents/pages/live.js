
// The page of a run that goes on: asks for what is new until the run has ended.
const parts = document.getElementById("live"), state = document.getElementById("state");
let seen = "";
function refresh(page) {  // who reads a chart or its table goes on reading it
  const all = (kind) => [...parts.querySelectorAll(kind)];
  const opened = all("details").map((e) => e.open), focused = all(".plot").indexOf(document.activeElement);
  parts.innerHTML = page;  // as the server escaped it
  all("figure.chart").forEach(listen);
  all("details").forEach((e, k) => { e.open = Boolean(opened[k]); });
  if (focused >= 0) all(".plot")[focused]?.focus();
  reach();
}
async function ask() {
  let wait = 1000;
  try {
    const answer = await fetch(`run.json?seen=${encodeURIComponent(seen)}`, { cache: "no-store" });
    if (answer.status === 200) {
      const found = await answer.json();
      seen = found.revision;
      state.textContent = found.state;
      refresh(found.page);
      if (found.ended) return;
    }
  } catch {
    state.textContent = "nobody answers any more: the run, or the command that shows it, has ended; this is the last that was seen";
    wait = 5000;
  }
  setTimeout(ask, wait);
}
ask();
