
"use strict";
/* Filters, searches and moves about. The page says all that it says without this. Foreign text is only ever read. */
(() => {
  const root = document.documentElement;
  const THEMES = ["auto", "light", "dark"];
  const kept = {
    get(name) { try { return localStorage.getItem("kilo-review-" + name); } catch { return null; } },
    set(name, value) { try { localStorage.setItem("kilo-review-" + name, value); } catch { /* not kept, then */ } },
  };
  let theme = THEMES.includes(kept.get("theme")) ? kept.get("theme") : "auto";
  root.classList.add("js");
  root.dataset.theme = theme;

  document.addEventListener("DOMContentLoaded", () => {
    const $ = (id) => document.getElementById(id);
    const all = (selector, where = document) => [...where.querySelectorAll(selector)];
    const lower = new WeakMap();
    const text = (element) => {
      if (!lower.has(element)) lower.set(element, element.textContent.toLowerCase());
      return lower.get(element);
    };
    const links = new Map(all("nav a").map((link) => [link.getAttribute("href").slice(1), link]));
    const files = all(".file").map((element) => ({
      element, name: element.querySelector("h2"), link: links.get(element.id), isOpen: element.open, shown: 0,
    }));
    const fileOf = new Map(files.map((file) => [file.element, file]));
    const hunks = all(".hunk").map((element) => ({ element, file: fileOf.get(element.closest(".file")), shown: 0 }));
    const hunkOf = new Map(hunks.map((hunk) => [hunk.element, hunk]));
    const findings = all(".finding").map((element) => ({
      element,
      row: element.closest("tr") || element,
      hunk: hunkOf.get(element.closest(".hunk")),
      file: fileOf.get(element.closest(".file")),
      link: links.get(element.id),
    }));
    let shown = findings;
    let current = null;

    // What is shown

    const switches = all(".bar input[name]");
    const chosen = (name) => new Set(switches.filter((each) => each.name === name && each.checked).map((each) => each.value));

    function apply() {
      const severities = chosen("severity"), statuses = chosen("status"), states = chosen("state");
      const wanted = $("search").value.trim().toLowerCase();
      const only = $("only").checked;
      const passes = (hunk) => hunk.element.dataset.state === "" || states.has(hunk.element.dataset.state);
      for (const each of [...files, ...hunks]) each.shown = 0;
      shown = findings.filter((finding) => {
        const { severity, status } = finding.element.dataset;
        const is = severities.has(severity) && statuses.has(status) && (!finding.hunk || passes(finding.hunk))
          && (!wanted || text(finding.element).includes(wanted));
        finding.row.hidden = !is;
        if (finding.link) finding.link.parentElement.hidden = !is;
        if (is) finding.file.shown += 1;
        if (is && finding.hunk) finding.hunk.shown += 1;
        return is;
      });
      for (const hunk of hunks) {
        const named = wanted && !only && text(hunk.file.name).includes(wanted);
        const is = passes(hunk) && (hunk.shown > 0 || (!only && (!wanted || named || text(hunk.element).includes(wanted))));
        hunk.element.hidden = !is;
        if (is) hunk.file.shown += 1;
      }
      let any = false;
      for (const file of files) {
        const is = file.shown > 0;
        file.element.hidden = !is;
        if (file.link) file.link.parentElement.hidden = !is;
        any ||= is;
      }
      $("none").hidden = any || files.length === 0;
      tell();
    }

    function tell() {
      const at = current ? shown.indexOf(current) + 1 : 0;
      const number = shown.length.toLocaleString("en");
      const words = shown.length === findings.length ? number : number + " of " + findings.length.toLocaleString("en");
      $("shown").textContent = (at ? at.toLocaleString("en") + " / " : "") + words + (findings.length === 1 ? " finding" : " findings");
    }

    // Moving about

    function mark(finding) {
      if (current && current.link) current.link.removeAttribute("aria-current");
      current = finding;
      if (finding && finding.link) {
        finding.link.setAttribute("aria-current", "true");
        finding.link.scrollIntoView({ block: "nearest" });
      }
      tell();
    }

    function show(finding) {
      finding.file.element.open = true;
      mark(finding);
      finding.element.focus({ preventScroll: true });
      finding.element.scrollIntoView({ block: "center" });
      // Heights further up were estimates until now; the second look is at real ones.
      requestAnimationFrame(() => finding.element.scrollIntoView({ block: "center" }));
    }

    function step(by) {
      if (!shown.length) return;
      const at = shown.indexOf(current);
      const next = at < 0 ? (by > 0 ? 0 : shown.length - 1) : at + by;
      if (next >= 0 && next < shown.length) show(shown[next]);
    }

    function fileHere() {
      const own = document.activeElement && document.activeElement.closest(".file");
      if (own) return own;
      return files.map((file) => file.element).find((file) => !file.hidden && file.getBoundingClientRect().bottom > 120);
    }

    function stepFile(by) {
      const seen = files.map((file) => file.element).filter((file) => !file.hidden);
      const here = seen.indexOf(fileHere());
      const inside = document.activeElement && document.activeElement.closest(".file");
      const next = seen[inside ? here + by : by > 0 ? here : here - 1];
      if (!next) return;
      next.querySelector("summary").focus({ preventScroll: true });
      next.scrollIntoView({ block: "start" });
    }

    function toggle() {
      const file = fileHere();
      if (!file) return;
      file.open = !file.open;
      file.querySelector("summary").focus();
    }

    function toggleAll() {
      const open = !files.some((file) => file.element.open);
      for (const file of files) file.element.open = open;
    }

    /** An address leads to its finding, whatever is switched off. */
    function arrive() {
      const target = $(decodeURIComponent(location.hash.slice(1)));
      const finding = target && findings.find((each) => each.element === target);
      if (!finding) {
        if (target && target.matches(".file")) target.open = true;
        return;
      }
      if (!shown.includes(finding)) {
        const { severity, status } = target.dataset;
        const state = finding.hunk ? finding.hunk.element.dataset.state : "";
        for (const each of switches) if ([severity, status, state].includes(each.value)) each.checked = true;
        $("search").value = "";
        apply();
      }
      show(finding);
    }

    // Keys and buttons

    function paint() {
      root.dataset.theme = theme;
      $("theme").textContent = { auto: "Theme: system", light: "Theme: light", dark: "Theme: dark" }[theme];
    }
    function nextTheme() {
      theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
      kept.set("theme", theme);
      paint();
    }
    function help() { if (!$("help").open) $("help").showModal(); }

    const KEYS = {
      j: () => step(1), k: () => step(-1), J: () => stepFile(1), K: () => stepFile(-1), o: toggle, O: toggleAll,
      t: nextTheme, "?": help, "/": () => { $("search").focus(); $("search").select(); },
      f: () => { $("only").checked = !$("only").checked; apply(); },
    };
    document.addEventListener("keydown", (event) => {
      const typing = event.target.matches("input:not([type=checkbox]), textarea, select");
      if (typing && event.key === "Escape") { $("search").value = ""; apply(); event.target.blur(); event.preventDefault(); }
      if (typing && event.key === "Enter") { step(1); event.preventDefault(); }
      if (typing || event.ctrlKey || event.altKey || event.metaKey || $("help").open || !$("single").checked) return;
      if (Object.hasOwn(KEYS, event.key)) { event.preventDefault(); KEYS[event.key](); }
    });
    $("single").checked = kept.get("single") !== "off";
    $("single").addEventListener("change", () => kept.set("single", $("single").checked ? "on" : "off"));
    for (const each of [...switches, $("only")]) each.addEventListener("change", apply);
    let waiting = 0;
    $("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(apply, 80); });
    $("next").addEventListener("click", () => step(1));
    $("previous").addEventListener("click", () => step(-1));
    $("theme").addEventListener("click", nextTheme);
    $("keys").addEventListener("click", help);
    $("close").addEventListener("click", () => $("help").close());
    document.addEventListener("focusin", (event) => {
      const own = event.target.closest(".finding");
      const finding = own && findings.find((each) => each.element === own);
      if (finding && finding !== current) mark(finding);
    });
    addEventListener("hashchange", arrive);
    const bar = document.querySelector(".bar");
    new ResizeObserver(() => root.style.setProperty("--bar", bar.offsetHeight + "px")).observe(bar);
    if (matchMedia("(max-width: 60rem)").matches) document.querySelector("nav details").open = false;
    paint();
    apply();
    if (location.hash) arrive();
  });
})();
