// What makes pages live. Everything works without it: pages are whole as they come, this only keeps them fresh.
"use strict";

(() => {
  const told = document.getElementById("told");
  const say = (words) => { if (told) told.textContent = words; };

  // Times in the reader's own words: "5 min ago", with the whole time in the title.
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const ago = (seconds) => {
    for (const [unit, size] of units) {
      if (Math.abs(seconds) >= size || unit === "second") return relative.format(Math.trunc(seconds / size), unit);
    }
  };
  const length = (seconds) => {
    if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
    return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  };
  const tick = () => {
    const now = Date.now() / 1000;
    for (const time of document.querySelectorAll("time[datetime]")) {
      const then = Date.parse(time.dateTime) / 1000;
      if (!time.dataset.whole) {
        time.dataset.whole = "yes";
        time.title = new Date(then * 1000).toLocaleString();
      }
      const words = Math.abs(now - then) < 30 * 86400 ? ago(then - now) : new Date(then * 1000).toLocaleDateString();
      if (time.textContent !== words) time.textContent = words;
    }
    for (const element of document.querySelectorAll("[data-since]")) {
      const words = length(now - Number(element.dataset.since));
      if (element.textContent !== words) element.textContent = words;
    }
    for (const bar of document.querySelectorAll("progress[data-began]")) {
      bar.value = Math.min(bar.max, Math.max(0, now - Number(bar.dataset.began)));
    }
  };
  tick();
  setInterval(tick, 1000);

  // Parts of the page that are asked for again; the server answers "nothing changed" at next to no cost.
  const parts = () => [...document.querySelectorAll("[data-live][id]")];
  const showTail = (part, from) => {
    const log = part.querySelector("[data-tail]");
    if (log) log.scrollTop = from === null ? log.scrollHeight : from;
  };
  showTail(document, null);
  let asking = false;
  const refresh = async () => {
    if (asking || document.hidden || !parts().length) return;
    asking = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-cache", redirect: "manual" });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const old of parts()) {
        const made = page.getElementById(old.id);
        const busy = (old.contains(document.activeElement) && !document.activeElement.matches("[data-tail]")) || old.querySelector("details[open]");
        if (made && !busy && !old.isEqualNode(made) && old.dataset.seen !== made.innerHTML) {
          const seen = made.innerHTML;
          const fresh = document.importNode(made, true);
          const log = old.querySelector("[data-tail]"); // its end stays in view, unless the reader looks at another place
          const from = log && log.scrollTop + log.clientHeight < log.scrollHeight - 8 ? log.scrollTop : null;
          const focused = log && log === document.activeElement;
          old.replaceWith(fresh);
          fresh.dataset.seen = seen;
          showTail(fresh, from);
          if (focused) fresh.querySelector("[data-tail]")?.focus({ preventScroll: true });
        }
      }
      tick();
    } catch (error) {
      // The controller is being restarted, for example: the next try may find it.
    } finally {
      asking = false;
    }
  };
  let count = 0;
  const sometimes = () => {
    count += 1;
    if (count % 4 === 0 || document.querySelector("[data-often]")) refresh();
  };
  if (parts().length) setInterval(sometimes, 1000);
  document.addEventListener("visibilitychange", refresh);

  // Bars of plots lead to their builds, as the links of the table beside them do.
  document.addEventListener("click", (event) => {
    const bar = event.target.closest("rect[data-go]");
    if (bar) location.href = bar.dataset.go;
  });

  // The log
  const log = document.getElementById("lines");
  if (!log) return;
  const most = 5000; // lines that stay in the page
  const url = log.dataset.url;
  const ending = document.getElementById("end");

  const makeLine = ([number, kind, , pieces]) => {
    const line = document.createElement("li");
    line.className = kind ? `line is-${kind}` : "line";
    if (kind !== "more") {
      line.id = `L${number}`;
      const link = document.createElement("a");
      link.href = `${url}?line=${number}#L${number}`;
      link.tabIndex = -1;
      link.textContent = number;
      line.append(link);
    }
    const text = document.createElement("span");
    text.className = "text";
    for (const [look, words] of pieces) {
      if (look) {
        const piece = document.createElement("span");
        piece.className = look;
        piece.textContent = words;
        text.append(piece);
      } else {
        text.append(words);
      }
    }
    line.append(text);
    return line;
  };

  // Sections: from a line that begins one to the next such line. A button folds what is in it.
  const begins = (line) => line.classList.contains("is-command") || line.classList.contains("is-group");
  const inside = (first) => {
    const found = [];
    for (let line = first.nextElementSibling; line && !begins(line); line = line.nextElementSibling) found.push(line);
    return found;
  };
  const fold = (button, closed) => {
    const lines = inside(button.parentElement);
    button.setAttribute("aria-expanded", String(!closed));
    for (const line of lines) line.classList.toggle("is-folded", closed);
  };
  const addFold = (first) => {
    if (first.querySelector(".fold") || !first.nextElementSibling || begins(first.nextElementSibling)) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "fold";
    button.setAttribute("aria-expanded", "true");
    button.setAttribute("aria-label", `Fold the section that begins at line ${first.id.slice(1)}`);
    first.prepend(button);
  };
  const addFolds = (lines) => {
    for (const line of lines) {
      const first = begins(line) ? line : line.previousElementSibling;
      if (first && begins(first)) addFold(first);
      else if (!begins(line) && first && first.classList.contains("is-folded")) line.classList.add("is-folded");
      else if (!begins(line) && first) {
        const button = first.querySelector(":scope > .fold[aria-expanded=false]");
        if (button) line.classList.add("is-folded");
      }
    }
  };
  const tools = document.querySelector(".tools");
  if (tools) {
    const all = document.createElement("button");
    all.type = "button";
    all.className = "quiet";
    all.textContent = "Fold all";
    all.addEventListener("click", () => {
      const closed = all.textContent === "Fold all";
      for (const button of log.querySelectorAll(".fold")) fold(button, closed);
      all.textContent = closed ? "Unfold all" : "Fold all";
    });
    tools.prepend(all, " ");
    if (log.querySelector(".t")) {
      const times = document.createElement("button");
      times.type = "button";
      times.className = "quiet";
      times.textContent = "Times";
      times.setAttribute("aria-pressed", "true");
      times.addEventListener("click", () => {
        times.setAttribute("aria-pressed", String(!log.classList.toggle("no-times")));
      });
      tools.prepend(times, " ");
    }
  }
  addFolds([...log.children]);

  // A click on a number makes the address that of the line, without loading anything.
  const choose = (id) => {
    for (const line of log.querySelectorAll(".is-chosen")) line.classList.remove("is-chosen");
    const line = /^L\d+$/.test(id) ? document.getElementById(id) : null;
    if (line) {
      for (let first = line; first; first = first.previousElementSibling) {
        const button = first.querySelector(":scope > .fold[aria-expanded=false]");
        if (button) fold(button, false);
        if (begins(first)) break;
      }
      line.classList.add("is-chosen");
    }
    return line;
  };
  log.addEventListener("click", (event) => {
    const button = event.target.closest(".fold");
    if (button) {
      fold(button, button.getAttribute("aria-expanded") === "true");
      return;
    }
    const link = event.target.closest(".line > a");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
      event.preventDefault();
      history.replaceState(null, "", link.href);
      choose(link.parentElement.id);
      follow = false;
    }
  });
  let follow = true; // whether the end stays in view
  if (location.hash) {
    const line = choose(location.hash.slice(1));
    if (line) {
      follow = false;
      line.scrollIntoView({ block: "center" });
    } else if (/^#L\d+$/.test(location.hash) && !location.search.includes("line=")) {
      location.replace(`${url}?line=${location.hash.slice(2)}${location.hash}`);
    }
  }

  if (!log.dataset.events) return;

  // Following what is printed now
  const following = document.getElementById("following");
  const atEnd = () => window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 160;
  let source = null;
  let from = log.dataset.from;
  let waiting = [];
  let drawn = false;

  const draw = () => {
    drawn = false;
    const stay = follow && atEnd();
    const made = [];
    if (waiting.length > most) { // what would go at once is not made
      waiting = waiting.slice(-most);
      log.replaceChildren();
    }
    for (const told of waiting) {
      const line = makeLine(told);
      const before = told[1] === "more" ? null : document.getElementById(line.id);
      if (before) {
        const button = before.querySelector(":scope > .fold");
        if (button) line.prepend(button);
        if (before.classList.contains("is-folded")) line.classList.add("is-folded");
        before.replaceWith(line);
      } else {
        // A piece that goes on with a line which has no end yet takes the place of what was there of it.
        const last = log.lastElementChild;
        if (told[1] === "more" && last && last.dataset.open && last.classList.contains("is-more")) last.remove();
        log.append(line);
      }
      if (told[2]) line.dataset.open = "yes";
      made.push(line);
    }
    waiting = [];
    addFolds(made);
    while (log.childElementCount > most) log.firstElementChild.remove();
    if (stay) window.scrollTo(0, document.documentElement.scrollHeight);
  };
  const later = () => {
    if (drawn) return;
    drawn = true;
    if (document.hidden) draw();
    else requestAnimationFrame(draw);
  };
  const connect = () => {
    source = new EventSource(`${log.dataset.events}?from=${from}`);
    source.addEventListener("lines", (event) => {
      from = event.lastEventId;
      waiting.push(...JSON.parse(event.data));
      later();
    });
    source.addEventListener("skip", (event) => {
      waiting = [];
      log.replaceChildren();
      from = event.lastEventId;
    });
    source.addEventListener("end", (event) => {
      const { word } = JSON.parse(event.data);
      source.close();
      source = null;
      delete log.dataset.events;
      draw();
      say(`The build has ended: ${word}.`);
      ending.textContent = `Ended: ${word}`;
      ending.classList.remove("is-live");
      refresh();
    });
  };
  following.textContent = "Following the log.";
  const jump = document.createElement("button");
  jump.type = "button";
  jump.textContent = "To the end";
  jump.addEventListener("click", () => {
    follow = true;
    window.scrollTo(0, document.documentElement.scrollHeight);
  });
  following.after(jump);
  connect();
  document.addEventListener("visibilitychange", () => { // a browser has few connections for all its tabs
    if (!log.dataset.events) return;
    if (document.hidden && source) {
      source.close();
      source = null;
    } else if (!document.hidden && !source) {
      connect();
    }
  });
})();
