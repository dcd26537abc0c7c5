"""What the page owes its readers, as JavaScript that looks at it: contrast, names, and room."""

from __future__ import annotations

# For every text that can be seen, its colour against what is behind it (WCAG 2.2, 1.4.3), and for
# every strand and edge of the drawing against the panel (1.4.11).
CONTRAST = """
const parse = (text) => (text.match(/[\\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
const linear = (c) => (c /= 255, c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
const luminance = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
const ratio = (a, b) => {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high + .05) / (low + .05);
};
const opaque = (text) => { const c = parse(text); return c.length < 4 || c[3] === 1 ? c : null; };
const behind = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const style = getComputedStyle(e);
    const own = e.ownerSVGElement ? null : opaque(style.backgroundColor);
    if (own && style.backgroundColor !== 'rgba(0, 0, 0, 0)') return own;
  }
  return [255, 255, 255];
};
const found = [];
const told = (element, value, wanted, text) => {
  if (value >= wanted) return;
  const which = `${element.tagName} ${element.id} ${element.getAttribute('class')}`;
  found.push(`${text}: ${value.toFixed(2)} (${which})`);
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let count = 0;
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const element = node.parentElement;
  if (!node.data.trim() || !element.checkVisibility()) continue;
  if (element.closest('title, script, noscript')) continue;
  const style = getComputedStyle(element);
  let back = behind(element), fore = parse(style.color);
  if (element.ownerSVGElement) {
    fore = parse(style.fill);
    const box = element.parentElement.querySelector('rect, circle');
    if (box && element.parentElement.tagName === 'g') back = parse(getComputedStyle(box).fill);
  }
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
  told(element, ratio(fore, back), large ? 3 : 4.5, node.data.trim().slice(0, 40));
  count += 1;
}
for (const element of document.querySelectorAll('.strand, .box, .leader, #ribbon rect')) {
  const style = getComputedStyle(element);
  const colour = element.closest('#ribbon') ? style.fill : style.stroke;
  told(element, ratio(parse(colour), behind(element)), 3, 'a line or bar');
  count += 1;
}
for (const element of document.querySelectorAll('button, input:not([type=range], [type=radio])')) {
  if (!element.checkVisibility()) continue;
  const edge = parse(getComputedStyle(element).borderTopColor);
  told(element, ratio(edge, behind(element.parentElement)), 3, 'an edge');
}
const field = document.querySelector('#search');
field.focus();
const focus = parse(getComputedStyle(field).outlineColor);
told(field, ratio(focus, behind(field.parentElement)), 3, 'the focus');
return { count, found };
"""

# Elements that are wider than the window, except inside one that scrolls by itself.
TOO_WIDE = """
const wide = innerWidth;
return [...document.body.querySelectorAll('*')].filter((e) => e.checkVisibility()
  && !e.closest('datalist, .skip, thead') && e.getBoundingClientRect().right > wide + 1)
  .map((e) => `${e.tagName} ${e.id} ${e.className.baseVal ?? e.className}`).slice(0, 5);
"""

# Everything that the keyboard reaches, in the order of the document.
REACHED = """
return [...document.querySelectorAll('a[href], button, input, select, summary, [tabindex]')]
  .filter((e) => e.checkVisibility() && !e.disabled && e.tabIndex >= 0
    && !(e.type === 'radio' && !e.checked)).length;
"""

# What was asked of whom since the page was loaded.
ORIGINS = """
return [...new Set(performance.getEntriesByType('resource').map((e) => new URL(e.name).origin))];
"""
