// Shows lines as they come, over a WebSocket. A browser opens no more than six connections for server-sent events to one
// host, so six of these pages would hold all others up; they are used where something on the way lets no WebSocket through.
"use strict";
(() => {
  const MOST = 2000;
  const FIRST_PAUSE = 1, LONGEST_PAUSE = 15;
  const list = document.getElementById("lines");
  const state = document.getElementById("state");
  const count = document.getElementById("count");
  const filter = document.getElementById("filter");
  const pause = document.getElementById("pause");
  let paused = false;
  let waiting = [];
  let dropped = 0;

  let live = false;
  let place = "";
  let opened = false;
  let seconds = FIRST_PAUSE;

  const say = (text, tone) => { state.textContent = text; state.className = tone; };
  const shown = () => say(paused ? "Paused" : "Live", paused ? "still" : "moving");
  const begun = () => { live = true; opened = true; seconds = FIRST_PAUSE; shown(); };
  const stopped = (text) => { live = false; say(text, "still"); };

  function overWebSocket() {
    const address = new URL(list.dataset.source, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    socket.addEventListener("open", () => { begun(); socket.send(place); });
    socket.addEventListener("message", (event) => {
      const batch = JSON.parse(event.data);
      place = batch.place;
      take(batch.data);
    });
    socket.addEventListener("close", (event) => {
      if (!opened) return overEvents();
      if (event.code === 1000 || event.code === 1008 || event.code >= 4000) return stopped(event.reason);
      stopped("Connecting again");
      setTimeout(again, seconds * 1000);
      seconds = Math.min(2 * seconds, LONGEST_PAUSE);
    });
  }

  // A refused WebSocket does not say why; the page itself does.
  async function again() {
    try {
      const answer = await fetch(location.href, { cache: "no-store", redirect: "manual" });
      if (answer.type === "opaqueredirect" || (answer.status >= 400 && answer.status < 500)) {
        return stopped("Refused: reload the page");
      }
    } catch { /* The server does not answer: the WebSocket will be told the same. */ }
    overWebSocket();
  }

  // Here the browser itself connects anew, and says where it was.
  function overEvents() {
    const source = new EventSource(list.dataset.source);
    source.addEventListener("open", begun);
    source.addEventListener("error", () => {
      stopped(source.readyState === EventSource.CLOSED ? "Refused: reload the page" : "Connecting again");
    });
    source.addEventListener("end", (event) => {
      source.close();
      stopped(JSON.parse(event.data));
    });
    source.addEventListener("message", (event) => take(JSON.parse(event.data)));
  }

  function take(items) {
    if (!paused) return add(items);
    waiting = waiting.concat(items);
    dropped += Math.max(0, waiting.length - MOST);
    waiting = waiting.slice(-MOST);
    told();
  }

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
    if (live) shown();
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

  say("Connecting", "still");
  overWebSocket();
})();
