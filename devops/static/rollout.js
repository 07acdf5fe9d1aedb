// Moves the bar of a rollout. When its state is another one, the page is loaded anew: it then offers other forms.
"use strict";
(() => {
  const box = document.getElementById("rollout");
  const source = new EventSource(box.dataset.source);
  const bar = box.querySelector("progress");
  source.addEventListener("message", (event) => {
    const now = JSON.parse(event.data);
    if (now.change !== box.dataset.change || now.state !== box.dataset.state) {
      source.close();
      location.reload();
      return;
    }
    if (!bar) return;
    bar.max = now.wanted;
    bar.value = now.done;
    document.getElementById("rollout-text").textContent = now.text;
    document.getElementById("rollout-reason").textContent = now.reason;
  });
  source.addEventListener("end", () => source.close());
})();
