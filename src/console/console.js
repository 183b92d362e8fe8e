// What a page cannot do by itself: show what arrives, select all rows, and jump to the search. Without it all pages work.
"use strict";

const arrivals = document.getElementById("arrivals");
if (arrivals) {
  const rows = arrivals.tBodies[0];
  const pause = document.getElementById("pause");
  const told = document.getElementById("live");
  let source = null;

  // The fragments were escaped by the bridge; the page's policy lets nothing in them run all the same.
  const fragment = (html) => {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content;
  };
  const show = ({ id, html }) => {
    const fresh = fragment(html).firstElementChild;
    const there = document.getElementById(id);
    if (there) {
      // Only what can change, so that nobody who stands in the row is thrown out of it.
      for (const part of [".standing", ".type"]) {
        there.querySelector(part).replaceWith(fresh.querySelector(part));
      }
      return;
    }
    fresh.classList.add("fresh");
    rows.prepend(fresh);
    while (rows.rows.length > Number(arrivals.dataset.rows)) {
      rows.rows[rows.rows.length - 1].remove();
    }
  };
  const listen = () => {
    source = new EventSource(arrivals.dataset.live);
    source.onopen = () => { told.textContent = "live"; };
    source.onerror = () => { told.textContent = "not connected; trying again"; };
    source.onmessage = (event) => {
      const news = JSON.parse(event.data);
      news.rows.forEach(show);
      for (const part of ["standing", "chart"]) {
        if (news[part]) document.getElementById(part).replaceChildren(fragment(news[part]));
      }
    };
  };
  pause.hidden = false;
  pause.addEventListener("click", () => {
    const pausing = pause.getAttribute("aria-pressed") === "false";
    pause.setAttribute("aria-pressed", String(pausing));
    pause.textContent = pausing ? "Go on" : "Pause";
    if (pausing) {
      source.close();
      told.textContent = "paused";
    } else {
      listen();
    }
  });
  listen();
}

for (const all of document.querySelectorAll("input[data-all]")) {
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const one of all.form.querySelectorAll(`input[name="${all.dataset.all}"]`)) one.checked = all.checked;
  });
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, select, textarea")) return;
  event.preventDefault();
  const call = document.getElementById("call");
  if (call) call.focus();
  else location.assign("/search");
});
