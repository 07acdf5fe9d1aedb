// Sends the chosen or dropped files one after another, and follows each until it is searchable or refused.
// Without it the form sends all at once and leads to the page of its job.
"use strict";
(() => {
  const POLL_MS = 1500;
  const GIVE_UP_MS = 10 * 60 * 1000;
  const TRIES = 5;
  const form = document.getElementById("upload");
  const input = document.getElementById("files");
  const drop = document.getElementById("drop");
  const button = form.querySelector("button");
  const summary = document.getElementById("summary");
  const maxBytes = Number(form.dataset.maxBytes);
  const megabytes = (bytes) => `${(bytes / 1048576).toPrecision(3)} MB`;
  const size = (bytes) => (bytes < 1048576 ? `${Math.ceil(bytes / 1024)} kB` : megabytes(bytes));
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const count = { sent: 0, searchable: 0, unchanged: 0, refused: 0 };
  let sending = false;
  document.getElementById("drop-hint").hidden = false;

  function choose(files) {
    const chosen = new DataTransfer();
    for (const file of files) chosen.items.add(file);
    input.files = chosen.files;
    label();
  }

  function label() {
    button.textContent = input.files.length > 1 ? `Upload ${input.files.length} files` : "Upload";
  }

  function say(message) {
    const done = count.searchable + count.unchanged + count.refused;
    const more = count.unchanged ? `, ${count.unchanged} unchanged` : "";
    summary.textContent =
      message || `${done} of ${count.sent} done: ${count.searchable} searchable${more}, ${count.refused} refused.`;
  }

  // A row of the list: name, size, a bar, and what is going on. All of it is text, whatever a file is called.
  function row(file) {
    const item = document.createElement("li");
    const [name, bytes, bar, state] = ["strong", "small", "progress", "p"].map((tag) => document.createElement(tag));
    name.textContent = file.name;
    bytes.textContent = size(file.size);
    bar.max = 1;
    bar.value = 0;
    bar.setAttribute("aria-label", `Upload of ${file.name}`);
    item.append(name, bytes, bar, state);
    document.getElementById("uploads").append(item);
    return {
      bar,
      item,
      tell(text, kind = "") {
        state.textContent = text;
        state.className = kind;
      },
      end(outcome, text, address) {
        bar.remove();
        count[outcome] += 1;
        this.tell(text, outcome === "refused" ? "bad" : "good");
        if (address) {
          const link = document.createElement("a");
          link.href = address;
          link.textContent = "Open the document";
          state.append(" ", link);
        }
        say();
      },
    };
  }

  function post(file, bar) {
    const data = new FormData(form);
    data.delete("files");
    data.append("files", file);
    return new Promise((answered) => {
      const request = new XMLHttpRequest();
      request.open("POST", form.action);
      request.setRequestHeader("Accept", "application/json");
      request.setRequestHeader("X-Form-Token", data.get("form_token"));
      request.upload.addEventListener("progress", (event) => {
        if (event.lengthComputable) bar.value = event.loaded / event.total;
      });
      request.addEventListener("loadend", () => {
        let body = {};
        try {
          body = JSON.parse(request.responseText);
        } catch {
          // The status says enough.
        }
        answered({ status: request.status, body, wait: Number(request.getResponseHeader("Retry-After")) || 1 });
      });
      request.send(data);
    });
  }

  // True if the file was sent. Else the rest would fail as well, and stays chosen.
  async function send(file) {
    const line = row(file);
    count.sent += 1;
    if (file.size > maxBytes) {
      line.end("refused", `Refused: larger than ${megabytes(maxBytes)}. Split it.`);
      return true;
    }
    for (let attempt = 1; ; attempt += 1) {
      line.tell("Uploading");
      const { status, body, wait } = await post(file, line.bar);
      if (status === 429 && attempt < TRIES) {
        line.tell(`Too many requests: going on in ${wait} s`);
        await pause(wait * 1000);
        continue;
      }
      if (status === 200 && body.files) {
        received(line, body);
        return true;
      }
      if (status === 413) {
        line.end("refused", `Refused: larger than the server takes (${megabytes(maxBytes)}). Split it.`);
        return true;
      }
      line.item.remove();
      count.sent -= 1;
      failed(status, body);
      return false;
    }
  }

  function failed(status, body) {
    const lost = "The server does not answer, or a file cannot be read any more. What was not sent is still chosen: try again.";
    say(status ? body.error || `The server failed with status ${status}. Try again later.` : lost);
    summary.className = "upload-summary bad";
    if (status !== 401) return;
    const link = document.createElement("a");
    link.href = `/console/sign-in?next=${encodeURIComponent(location.pathname)}`;
    link.textContent = "To the sign-in";
    summary.append(" ", link);
  }

  function received(line, body) {
    const [file] = body.files;
    line.bar.value = 1;
    if (file.refused) line.end("refused", `Refused: ${file.refused}`);
    else if (file.unchanged) line.end("unchanged", "Nothing changed since its last upload.", file.address);
    else follow(line, file, body.job_id);
  }

  async function follow(line, file, job) {
    const ends = Date.now() + GIVE_UP_MS;
    line.bar.removeAttribute("value");
    line.bar.setAttribute("aria-label", `Processing of ${file.name}`);
    line.tell(`Received as version ${file.version}, waiting to be indexed`);
    while (Date.now() < ends) {
      await pause(POLL_MS);
      if (document.hidden) continue;
      const status = await progress(job);
      if (status.state === "running") line.tell("Being read and indexed");
      if (status.state === "finished") return line.end("searchable", `Searchable, version ${file.version}.`, file.address);
      if (status.state === "failed") return line.end("refused", `Refused: ${status.errors[0].reason}`);
      if (status.stop) break;
    }
    line.bar.remove();
    line.tell("Received; the page of its job says what becomes of it. ");
    const link = document.createElement("a");
    link.href = `${form.dataset.jobs}/${job}`;
    link.textContent = "To the job";
    line.item.querySelector("p").append(link);
  }

  // One question at a time, however many files are followed.
  let turn = Promise.resolve();
  function progress(job) {
    const ask = async () => {
      try {
        const answer = await fetch(`${form.dataset.jobs}/${job}/progress`, {
          headers: { Accept: "application/json" },
          cache: "no-store",
        });
        if (answer.ok) return await answer.json();
        return { stop: answer.status < 500 && answer.status !== 429 };
      } catch {
        return {};
      }
    };
    const next = turn.then(async () => {
      const status = await ask();
      await pause(250);
      return status;
    });
    turn = next;
    return next;
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (sending) return;
    sending = true;
    button.disabled = true;
    summary.className = "upload-summary";
    const waiting = [...input.files];
    while (waiting.length) {
      say(`Uploading ${waiting[0].name}, ${waiting.length - 1} more to go.`);
      if (!(await send(waiting[0]))) break;
      waiting.shift();
    }
    if (!waiting.length) say();
    choose(waiting);
    sending = false;
    button.disabled = false;
  });

  input.addEventListener("change", label);
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  drop.addEventListener("dragleave", (event) => {
    if (!drop.contains(event.relatedTarget)) drop.classList.remove("over");
  });
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (sending) return say("Wait until the files before are sent, then drop these again.");
    const isFolder = (item) => item.webkitGetAsEntry?.()?.isDirectory;
    const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
    if (items.some(isFolder)) return say("A folder cannot be dropped: open it, and drop its files.");
    choose([...input.files, ...event.dataTransfer.files]);
    say(`${input.files.length} chosen: check who may read, then upload.`);
  });
  // A file that misses the field would replace this page.
  for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());
  addEventListener("beforeunload", (event) => {
    if (sending) event.preventDefault();
  });
})();
