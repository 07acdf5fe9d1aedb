// Fetches this page every few seconds and swaps what changes. Without it the page is the same, only not live.
"use strict";
(() => {
  const SECONDS = 5;
  const control = document.getElementById("live-control");
  let paused = matchMedia("(prefers-reduced-motion: reduce)").matches;

  const state = document.createElement("span");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "plain";
  control.append(state, button);

  function show(problem) {
    state.textContent = problem || (paused ? "Paused" : `Live, every ${SECONDS} s`);
    state.className = paused || problem ? "still" : "moving";
    button.textContent = paused ? "Resume" : "Pause";
  }

  button.addEventListener("click", () => {
    paused = !paused;
    show();
    if (!paused) refresh();
  });

  const isSelecting = (live) => {
    const selection = getSelection();
    return !selection.isCollapsed && live.contains(selection.anchorNode);
  };

  async function refresh() {
    const live = document.getElementById("live");
    if (paused || document.hidden || isSelecting(live) || live.contains(document.activeElement)) return;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      // The session ended, or the right was taken away: show the page that says so.
      if (answer.redirected || (answer.status >= 400 && answer.status < 500)) return location.reload();
      if (!answer.ok) throw new Error(answer.status);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      live.replaceChildren(...page.getElementById("live").childNodes);
      show();
    } catch {
      show("The server does not answer");
    }
  }

  show();
  setInterval(refresh, SECONDS * 1000);
  document.addEventListener("visibilitychange", refresh);
})();
