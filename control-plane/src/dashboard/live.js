// Keeps the page as it is now: the server says that something changed, the page asks for itself again and takes over what
// differs. Everything can be read without it.
"use strict";
(() => {
  const live = document.getElementById("live");
  const RETRY_MS = 2000;

  function say(state, words) {
    live.hidden = false;
    live.dataset.state = state;
    live.textContent = words;
  }

  // Makes `old` what `fresh` is and touches nothing that is the same: the focus, a selection and what was typed stay.
  function morph(old, fresh) {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    if (old.hasAttribute("data-keep")) return;
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    const key = (node) => node.dataset?.key;
    const keyed = new Map([...old.children].filter(key).map((child) => [key(child), child]));
    let at = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      let same = at;
      if (key(child)) {
        same = keyed.get(key(child));
        keyed.delete(key(child));
      }
      if (same && !key(child) !== !key(same)) same = null;
      if (same && same.nodeName === child.nodeName) {
        if (same === at) at = at.nextSibling;
        else old.insertBefore(same, at);
        morph(same, child);
      } else {
        if (child.nodeType === Node.ELEMENT_NODE) child.classList.add("new");
        old.insertBefore(child, at);
      }
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  }

  // Times in the reader's own zone, of another day with its date, and ages as of now.
  function tellTimes(root) {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      time.title = at.toString();
      if (time.hasAttribute("data-since")) time.textContent = age((Date.now() - at) / 1000);
      else time.textContent = clock(at, time.dateTime.includes("."));
    }
  }

  function clock(at, exact) {
    const two = (number) => String(number).padStart(2, "0");
    const seconds = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
    if (at.toDateString() !== new Date().toDateString()) {
      return `${at.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ${seconds}`;
    }
    return exact ? `${seconds}.${String(at.getMilliseconds()).padStart(3, "0")}` : seconds;
  }

  function age(seconds) {
    const s = Math.max(0, Math.floor(seconds));
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min`;
    if (s < 172800) return `${Math.floor(s / 3600)} h`;
    return `${Math.floor(s / 86400)} days`;
  }

  let asking = false;
  let again = false;
  async function refresh() {
    // One question at a time, and none for a page that nobody sees.
    again = true;
    if (asking || document.hidden) return;
    asking = true;
    try {
      while (again) {
        again = false;
        const answer = await fetch(location.href);
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        if (!page.getElementById("main")) throw new Error(`the dashboard answers ${answer.status}`);
        tellTimes(page);
        morph(document.body, page.body);
        document.title = page.title;
      }
    } catch {
      say("off", "does not answer");
    } finally {
      asking = false;
    }
  }

  function listen() {
    const events = new EventSource("/events");
    events.addEventListener("open", () => say("on", "live"));
    events.addEventListener("changed", refresh);
    events.addEventListener("traffic", (event) => {
      const rates = JSON.parse(event.data);
      for (const place of document.querySelectorAll("[data-traffic]")) {
        const words = rates[place.dataset.traffic] ?? "";
        if (place.textContent !== words) place.textContent = words;
      }
    });
    events.addEventListener("error", () => {
      say("off", "reconnecting");
      // It comes back by itself, but not after an answer that is no stream of events.
      if (events.readyState === EventSource.CLOSED) setTimeout(listen, RETRY_MS);
    });
  }

  // The filter applies while it is typed into.
  let typed;
  function filter() {
    const url = new URL(location.href);
    const text = document.getElementById("filter").value.trim();
    if (text) url.searchParams.set("q", text);
    else url.searchParams.delete("q");
    history.replaceState(null, "", url);
    refresh();
  }
  document.addEventListener("input", (event) => {
    if (event.target.id !== "filter") return;
    clearTimeout(typed);
    typed = setTimeout(filter, 150);
  });
  document.addEventListener("submit", (event) => {
    if (!event.target.matches(".filter")) return;
    event.preventDefault();
    filter();
  });
  document.addEventListener("keydown", (event) => {
    const box = document.getElementById("filter");
    if (event.key !== "/" || !box || event.target.matches("input:not([type=radio])") || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    box.focus();
    box.select();
  });
  document.addEventListener("visibilitychange", () => {
    if (again) refresh();
  });

  tellTimes(document);
  setInterval(() => tellTimes(document), 10000);
  listen();
})();
