// Figures that answer: drawn anew by Vega when they come into view, with hover, legend, log/linear.
"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const darkOf = JSON.parse(document.getElementById("colours").textContent);
  const make = (name, properties = {}) => Object.assign(document.createElement(name), properties);

  // Vega is kept compressed, and is unpacked once, when a figure first comes into view.
  let vegaReady = null;
  const needVega = () => (vegaReady ??= (async () => {
    const packed = atob(document.getElementById("vega").textContent);
    const bytes = Uint8Array.from(packed, (one) => one.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    document.head.append(make("script", { type: "module", textContent: `${await new Response(stream).text()}
      ;document.dispatchEvent(new Event("vega-is-here"));` }));
    if (!window.vegaEmbed) await new Promise((done) => document.addEventListener("vega-is-here", done, { once: true }));
  })());

  const tip = make("div", { id: "tip", hidden: true, role: "tooltip" });
  document.body.append(tip);
  // Vega's own tooltips are found near a line's points alone, so that a mark is asked here.
  const showTip = (event) => {
    const value = event.type === "pointerout" ? null : event.target.__data__?.tooltip;
    tip.hidden = !value;
    if (tip.hidden) return;
    // Vega writes what a run lacks as null.
    const known = Object.entries(value).filter(([, text]) => text !== "null");
    tip.replaceChildren(...known.flatMap(([name, text]) =>
      [make("span", { textContent: name.trim() }), make("b", { textContent: text })]));
    const { width, height } = tip.getBoundingClientRect();
    const left = event.clientX + 14 + width > innerWidth ? event.clientX - 14 - width : event.clientX + 14;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - height - 4))}px`;
  };
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true; });

  // The specification as it is drawn now: in the scheme's colours, the card's width, these scales.
  const current = (figure) => {
    const text = dark.matches ? figure.text.replace(/#[0-9a-f]{6}/g, (one) => darkOf[one] ?? one) : figure.text;
    const spec = unpacked(JSON.parse(text));
    const { width } = figure;
    for (const [name, type] of Object.entries(figure.scales)) {
      const channel = spec.encoding[name];
      if (channel.scale.type === type) continue;
      channel.scale.type = type;
      if (type === "log") channel.axis.values = spec.usermeta.log[name];
      else delete channel.axis.values;
    }
    const [chosen] = spec.layer.flatMap((one) => one.params ?? []);
    if (figure.shown.length) chosen.value = figure.shown.map((value) => ({ [chosen.select.fields[0]]: value }));
    Object.assign(spec, { background: "transparent", width });
    if (width >= 420) {
      // As high as the static figure, so that nothing below it moves.
      const { width: w, height: h } = figure.plot.querySelector("svg").viewBox.baseVal;
      spec.height = Math.round((width * h) / w);
      spec.autosize = { type: "fit", contains: "padding" };
    } else {
      spec.height = Math.min(spec.height, 270);
      spec.autosize = { type: "fit-x", contains: "padding" };
      spec.encoding.x.axis.tickCount = 3;
      const narrow = (node) => {
        if (node?.legend?.columns) node.legend.columns = Math.max(1, Math.floor((node.legend.columns * width) / 500));
        if (node && typeof node === "object") {
          for (const [name, child] of Object.entries(node)) if (name !== "data") narrow(child);
        }
      };
      narrow(spec.layer);
      if (spec.title) spec.title = { text: spec.title, fontSize: 11.5 };
    }
    return spec;
  };

  // Drawings overlap: the last that was asked for counts, whichever is done last.
  const draw = async (figure) => {
    const turn = (figure.turn = (figure.turn ?? 0) + 1);
    try {
      await needVega();
      if (turn !== figure.turn) return;
      figure.width = figure.plot.clientWidth;
      const live = make("div", { className: "live" });
      const options = { actions: false, renderer: "svg", tooltip: false, mode: "vega-lite", logLevel: 1 };
      const made = await window.vegaEmbed(live, current(figure), options);
      if (turn !== figure.turn) { made.view.finalize(); return; }
      figure.view?.finalize();
      figure.view = made.view;
      // The legend's own clicks: the buttons say them, and a drawing under way starts anew with them.
      if (figure.press) made.view.addDataListener("shown_store", (_, rows) => {
        figure.shown = rows.map((one) => one.values[0]);
        figure.press();
        if (turn !== figure.turn) draw(figure);
      });
      figure.plot.querySelector(".live")?.remove();
      figure.plot.append(live);
      for (const type of ["pointermove", "pointerdown", "pointerout"]) live.addEventListener(type, showTip);
      const { ariaLabel } = figure.plot.querySelector("svg");
      Object.assign(live.querySelector("svg"), { role: "img", ariaLabel });
      figure.plot.classList.add("alive");
      tip.hidden = true;  // its mark is gone
    } catch (error) {
      console.error(error);  // the static figure stays
    }
  };

  const button = (text, ariaLabel, onclick) =>
    make("button", { type: "button", textContent: text, ariaLabel, onclick });

  // What a click on the legend does, for the keyboard: a button for each of its entries.
  const choices = (figure, title) => {
    const { legend, scale } = figure.spec.layer.find((one) => one.params)?.encoding.color ?? {};
    if (!legend) return [];
    const buttons = scale.domain.map((value) => button(value, `${value}: show alone in ${title}`, () => {
      const others = figure.shown.filter((one) => one !== value);
      figure.shown = others.length < figure.shown.length ? others : [...others, value];
      figure.press();
      draw(figure);
    }));
    figure.press = () => buttons.forEach((one) => { one.ariaPressed = figure.shown.includes(one.textContent); });
    figure.press();
    return [make("span", { textContent: "Show some alone:" }), ...buttons];
  };

  const controls = (figure) => {
    const title = figure.plot.parentElement.querySelector("h3").textContent;
    const axes = Object.keys(figure.spec.usermeta.log).map((name) => {
      figure.scales[name] = figure.spec.encoding[name].scale.type;
      const other = () => (figure.scales[name] === "log" ? "linear" : "log");
      const say = () => {
        made.textContent = `${name}: ${figure.scales[name]}`;
        made.ariaLabel = `${made.textContent}, axis of ${title}; switch to ${other()}`;
      };
      const made = button("", "", () => { figure.scales[name] = other(); say(); draw(figure); });
      say();
      return made;
    });
    const bar = make("div", { className: "controls" });
    bar.append(...axes, ...choices(figure, title));
    figure.plot.after(bar);
  };

  // Data is packed in columns, of which text that repeats is written once.
  const unpacked = (spec) => {
    for (const [name, columns] of Object.entries(spec.datasets)) {
      const lists = Object.entries(columns).map(([key, one]) => [key, one.of ? one.at.map((at) => one.of[at]) : one]);
      const count = lists.length ? lists[0][1].length : 0;
      spec.datasets[name] = Array.from({ length: count }, (_, row) =>
        Object.fromEntries(lists.map(([key, list]) => [key, list[row]])));
    }
    return spec;
  };

  const figures = [...document.querySelectorAll("script.spec")].map((script) => {
    const plot = script.parentElement.querySelector(".plot");
    return { plot, text: script.textContent, spec: JSON.parse(script.textContent), scales: {}, shown: [] };
  });
  if ("DecompressionStream" in window && "IntersectionObserver" in window) {
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries.filter((one) => one.isIntersecting)) {
        seen.unobserve(entry.target);
        draw(figures.find((one) => one.plot === entry.target));
      }
    }, { rootMargin: "200px" });
    figures.forEach((one) => { controls(one); seen.observe(one.plot); });
    const again = (moved) => figures.forEach((one) => one.turn && moved(one) && draw(one));
    dark.addEventListener("change", () => again(() => true));
    let resting = 0;  // a window that is dragged is drawn for once it rests
    addEventListener("resize", () => {
      clearTimeout(resting);
      resting = setTimeout(() => again((one) => one.width !== one.plot.clientWidth), 150);
    });
  }
})();
