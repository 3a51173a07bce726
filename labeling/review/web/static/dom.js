// Small helpers to make elements; text is always set as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

/** The element with that id; a missing one is a fault of the page and is named. */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element #${id}`);
  return found;
}

/** An element. `props`: class, text, data (dataset), on (listeners); anything else becomes an attribute. */
export function el(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) setProp(made, name, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Marks that turn what follows around or cannot be seen; joiners and direction marks of real scripts are not among them.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u200b\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]/g;

/** Text of people and files with such marks written out, so that no name looks like another or turns the words around it. */
export function visible(text) {
  return String(text).replace(HIDDEN, (mark) => `<U+${mark.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}>`);
}

function setProp(made, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name === "class") made.className = value;
  else if (name === "text") made.textContent = visible(value);
  else if (name === "data") Object.assign(made.dataset, value);
  else if (name === "on") for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
  else made.setAttribute(name, value === true ? "" : String(value));
}

/** An icon of the page's sprite; it says nothing to a screen reader. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** A button with an icon or a text, and the key that does the same. */
export function button({ label, iconName = null, key = "", title = label, onClick, ...props }) {
  const made = el("button", { type: "button", title, on: { click: onClick }, ...props });
  if (iconName) made.append(icon(iconName), el("span", { class: "sr", text: label }));
  else made.append(el("span", { class: "label", text: label }));
  if (key) made.append(el("kbd", { text: key }));
  return made;
}

/** Sizes a canvas to the box it fills, in device pixels, and returns its context scaled to CSS pixels. */
export function fitCanvas(canvas, width, height) {
  const scale = window.devicePixelRatio || 1;
  const [w, h] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  return pen;
}

/** The colours of the style sheet, read anew so that a change of theme is seen. */
export function themeColours() {
  const style = getComputedStyle(document.documentElement);
  return new Proxy({}, { get: (_, name) => style.getPropertyValue(`--${name}`).trim() });
}

/** Calls `work` once for any number of requests before the next picture. */
export function oncePerPicture(work) {
  let asked = 0;
  return () => {
    if (!asked) asked = requestAnimationFrame(() => { asked = 0; work(); });
  };
}

/** A number in few characters: 0.94, 12.3, 1,204; a dash for none. */
export function short(value, digits = 2) {
  if (value === null || value === undefined || Number.isNaN(value)) return "-";
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en-US");
  return Number.isInteger(value) ? String(value) : value.toFixed(Math.abs(value) >= 100 ? 0 : digits);
}
