// Shows lines as they come. The browser itself connects anew when the connection breaks, and says where it was.
"use strict";
(() => {
  const MOST = 2000;
  const list = document.getElementById("lines");
  const state = document.getElementById("state");
  const count = document.getElementById("count");
  const filter = document.getElementById("filter");
  const pause = document.getElementById("pause");
  let paused = false;
  let waiting = [];
  let dropped = 0;

  const source = new EventSource(list.dataset.source);
  const say = (text, tone) => { state.textContent = text; state.className = tone; };
  say("Connecting", "still");
  source.addEventListener("open", () => say(paused ? "Paused" : "Live", paused ? "still" : "moving"));
  source.addEventListener("error", () => {
    say(source.readyState === EventSource.CLOSED ? "Refused: reload the page" : "Connecting again", "still");
  });
  source.addEventListener("end", (event) => {
    source.close();
    say(JSON.parse(event.data), "still");
  });
  source.addEventListener("message", (event) => {
    const items = JSON.parse(event.data);
    if (!paused) return add(items);
    waiting = waiting.concat(items);
    dropped += Math.max(0, waiting.length - MOST);
    waiting = waiting.slice(-MOST);
    told();
  });

  function part(tag, text, name) {
    const node = document.createElement(tag);
    node.textContent = text;
    if (name) node.className = name;
    return node;
  }

  function row(item) {
    const line = document.createElement("li");
    if (item.warning) line.classList.add("warning");
    if (item.suspicious) line.classList.add("suspicious");
    // Text of others is only ever text.
    line.append(part("time", item.time), " ", part("span", item.source, "source"), " ", item.text);
    line.hidden = !fits(line);
    return line;
  }

  const fits = (line) => line.textContent.toLowerCase().includes(filter.value.toLowerCase());

  function add(items) {
    const atEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 40;
    list.append(...items.slice(-MOST).map(row));
    while (list.childElementCount > MOST) { list.firstElementChild.remove(); dropped += 1; }
    if (atEnd) list.scrollTop = list.scrollHeight;
    told();
  }

  function told() {
    const held = waiting.length ? `, ${waiting.length} wait` : "";
    const gone = dropped ? `, ${dropped} older ones left this page` : "";
    count.textContent = `${list.childElementCount} lines${held}${gone}`;
  }

  function toggle() {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
    if (source.readyState === EventSource.OPEN) say(paused ? "Paused" : "Live", paused ? "still" : "moving");
    if (!paused) { add(waiting); waiting = []; told(); }
  }

  pause.addEventListener("click", toggle);
  document.getElementById("clear").addEventListener("click", () => { list.replaceChildren(); dropped = 0; told(); });
  filter.addEventListener("input", () => { for (const line of list.children) line.hidden = !fits(line); });
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "p") toggle();
    if (event.key === "/") { event.preventDefault(); filter.focus(); }
  });
})();
