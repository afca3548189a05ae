// What of WCAG 2.2 AA a program can check: contrast of text (1.4.3) and of marks (1.4.11), names of controls (4.1.2), language,
// headings, landmarks, ids, targets large enough (2.5.8), nothing wider than the window (1.4.10). The value is a list of what is wrong.
(() => {
  const wrong = [];
  const describe = (element) => {
    const text = (element.textContent || "").trim().replace(/\s+/g, " ").slice(0, 40);
    return `<${element.tagName.toLowerCase()}${element.className?.baseVal === undefined && element.className ? ` class="${element.className}"` : ""}> ${JSON.stringify(text)}`;
  };
  const isShown = (element) => {
    if (!element.checkVisibility({ checkVisibilityCSS: true, checkOpacity: true })) return false;
    const box = element.getBoundingClientRect();
    return box.width > 1 && box.height > 1;
  };

  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const read = (color) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = color;
    pen.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const paper = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(read(getComputedStyle(at).backgroundColor));
    const canvasColor = matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18, 1] : [255, 255, 255, 1];
    return layers.reverse().reduce((below, layer) => over(layer, below), canvasColor);
  };
  const luminance = ([r, g, b]) => {
    const [R, G, B] = [r, g, b].map((c) => {
      const s = c / 255;
      return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * R + 0.7152 * G + 0.0722 * B;
  };
  const contrast = (a, b) => {
    const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };

  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = words.nextNode(); node; node = words.nextNode()) {
    const element = node.parentElement;
    if (!node.nodeValue.trim() || !isShown(element) || element.closest("script, style, svg")) continue;
    const style = getComputedStyle(element);
    const below = paper(element);
    const ratio = contrast(over(read(style.color), below), below);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (isLarge ? 3 : 4.5)) wrong.push(`contrast ${ratio.toFixed(2)}: ${describe(element)}`);
  }
  for (const mark of document.querySelectorAll("svg.mark")) {
    if (!isShown(mark)) continue;
    const below = paper(mark.parentElement);
    const ratio = contrast(over(read(getComputedStyle(mark).color), below), below);
    if (ratio < 3) wrong.push(`contrast of a mark ${ratio.toFixed(2)}: ${describe(mark.parentElement)}`);
  }

  const name = (control) =>
    control.getAttribute("aria-label") ||
    (control.getAttribute("aria-labelledby") || "").split(" ").map((id) => document.getElementById(id)?.textContent).join("") ||
    [...(control.labels || [])].map((label) => label.textContent).join("") ||
    (control.matches("input, textarea, select") ? "" : control.textContent) ||
    control.querySelector?.("img[alt]")?.alt || "";
  for (const control of document.querySelectorAll("a[href], button, input, textarea, select, summary")) {
    if (!name(control).trim()) wrong.push(`no name: ${control.outerHTML.slice(0, 100)}`);
    if (!isShown(control) || control.closest("p, li, td, th, dd, small, h2, h3, .skip")) continue;
    const box = control.getBoundingClientRect();
    if (box.width < 24 || box.height < 24) wrong.push(`a target of ${box.width}x${box.height}: ${describe(control)}`);
  }
  for (const picture of document.querySelectorAll("img:not([alt])")) wrong.push(`no alt: ${picture.outerHTML}`);
  for (const mark of document.querySelectorAll("svg:not([aria-hidden=true]):not([aria-label])")) wrong.push(`svg: ${mark.outerHTML.slice(0, 80)}`);

  if (!document.documentElement.lang) wrong.push("no language");
  if (!document.title.trim()) wrong.push("no title");
  if (document.querySelectorAll("h1").length !== 1) wrong.push("not one h1");
  if (document.querySelectorAll("main").length !== 1) wrong.push("not one main");
  let last = 1;
  for (const heading of document.querySelectorAll("h1, h2, h3, h4")) {
    const level = Number(heading.tagName[1]);
    if (level > last + 1) wrong.push(`a heading of level ${level} after ${last}: ${describe(heading)}`);
    last = level;
  }
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of ids.filter((id, at) => ids.indexOf(id) !== at)) wrong.push(`id ${id} twice`);
  for (const cell of document.querySelectorAll("th, td")) {
    if (isShown(cell) && cell.scrollWidth > cell.clientWidth + 1) wrong.push(`a cell runs into the next: ${describe(cell)}`);
  }
  for (const table of document.querySelectorAll("table")) {
    if (!table.querySelector("th[scope=col]")) wrong.push(`a table without headers: ${describe(table)}`);
  }
  if (document.documentElement.scrollWidth > innerWidth) {
    const wide = [...document.body.querySelectorAll("*")].filter((element) => isShown(element) && element.getBoundingClientRect().right > innerWidth + 0.5);
    wrong.push(`${document.documentElement.scrollWidth} px wide in a window of ${innerWidth}: ${wide.slice(-1).map(describe)}`);
  }
  return wrong;
})();
