/** Small helpers for the elements of the page. */

export const $ = (id) => document.getElementById(id);

/** An element with properties and children; texts are never read as HTML. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("data-") || name.startsWith("aria-") || name === "role" || name === "for") {
      element.setAttribute(name, String(value));
    } else {
      element[name] = value;
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Changes a text only where it differs, so that screen readers and the selection stay. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Shows `[name, value]` as a list of terms; rows without a value are left out. */
export function showPairs(list, pairs) {
  const wanted = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  while (list.children.length > 2 * wanted.length) list.lastElementChild.remove();
  while (list.children.length < 2 * wanted.length) list.append(make("dt"), make("dd"));
  wanted.forEach(([name, value], i) => {
    setText(list.children[2 * i], name);
    setText(list.children[2 * i + 1], String(value));
  });
}

/** A button that acts on its second press within 3 s; the first asks. */
export function confirmed(button, act) {
  const text = button.textContent;
  let timer = null;
  button.onclick = () => {
    if (timer === null) {
      button.textContent = `${text}: press again`;
      timer = setTimeout(() => {
        timer = null;
        button.textContent = text;
      }, 3000);
      return;
    }
    clearTimeout(timer);
    timer = null;
    button.textContent = text;
    act();
  };
  return button;
}

/** JSON of this server; throws an Error with the server's own words. */
export async function fetchJson(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

export const percent = (share) => `${Math.round(100 * share)} %`;

export function milliseconds(value) {
  return value === null || value === undefined ? null : `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}
