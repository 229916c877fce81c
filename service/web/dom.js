// Elements out of plain calls, and numbers as people read them. Text is set as text: nothing becomes markup.

const SVG = "http://www.w3.org/2000/svg";

/** h("p", {class: "told"}, "text", child): an element; properties that start with "on" are listeners. */
export const h = (name, ...rest) => built(document.createElement(name), ...rest);

/** The same for SVG. */
export const svg = (name, ...rest) => built(document.createElementNS(SVG, name), ...rest);

function built(element, properties = {}, ...children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child != null));
  return element;
}

/** At most three significant digits, no exponent: 0.0491, 1.2, 20. */
export const short = (number) => String(Number(Number(number).toPrecision(3)));

export const percent = (share) => `${Math.round(share * 100)}\u00a0%`;

export function bytes(count) {
  return count < 2 ** 20 ? `${Math.ceil(count / 1024)} KiB` : `${(count / 2 ** 20).toFixed(1)} MiB`;
}

/** A refusal, shown where the page shows them. */
export function problemCard(problem) {
  const page = problem.type?.replace(/^\//, ""); // relative, as everything here
  return h(
    "div",
    { class: "problem" },
    h("strong", {}, problem.title),
    h("p", {}, problem.detail),
    page?.startsWith("problems/") ? h("a", { href: page }, "What this means") : null,
  );
}
