"use strict";
// The suspects, what is chosen for each, and the two files that follow from it. Choices are kept by the name of the
// review, since all pages on a disk may share one store.
const list = document.getElementById("suspects");
const items = [...list.children];
const store = "dogcat review " + list.dataset.review;
let choices = {};
let current = 0;

function read() {
  try {
    choices = JSON.parse(localStorage.getItem(store)) || {};
  } catch {
    choices = {};
  }
}

function keepChoices() {
  try {
    localStorage.setItem(store, JSON.stringify(choices));
  } catch {
    document.getElementById("count").textContent = "This browser keeps no choices: download before you leave.";
  }
}

function buttonsOf(item) {
  return [...item.querySelectorAll("[data-choose]")];
}

function show(item) {
  const choice = choices[item.dataset.place];
  if (choice) item.dataset.choice = choice;
  else delete item.dataset.choice;
  for (const button of buttonsOf(item)) {
    button.setAttribute("aria-pressed", String(button.dataset.choose === choice));
  }
}

function count() {
  const numbers = { keep: 0, drop: 0, relabel: 0 };
  for (const choice of Object.values(choices)) numbers[choice.split(" ")[0]] += 1;
  const open = items.length - Object.keys(choices).length;
  document.getElementById("count").textContent =
    `${open} to decide, ${numbers.keep} kept, ${numbers.drop} dropped, ${numbers.relabel} relabelled`;
}

// What accepting the suggestions for the rest would do: the items, and that in words.
function preview() {
  const left = items.filter((item) => !choices[item.dataset.place]);
  const changed = left.filter((item) => item.dataset.suggestion);
  const numbers = { drop: 0, relabel: 0 };
  for (const item of changed) numbers[item.dataset.suggestion.split(" ")[0]] += 1;
  const hidden = changed.filter((item) => item.hidden).length;
  const words =
    `Of the ${left.length} to decide, this would drop ${numbers.drop} and relabel ${numbers.relabel}` +
    (hidden ? ` (${hidden} of them of a kind that is not shown)` : "") +
    `. For the other ${left.length - changed.length} no change is suggested; they stay open, and in the data set.`;
  return { changed, words };
}

function choose(item, choice) {
  if (choice) choices[item.dataset.place] = choice;
  else delete choices[item.dataset.place];
  show(item);
  count();
  keepChoices();
}

// To the next one that is shown, in steps of 1 or -1; where there is none, it stays.
function go(step) {
  let place = current + step;
  while (items[place]?.hidden) place += step;
  if (items[place]) current = place;
  items[current].focus({ preventScroll: true });
  items[current].scrollIntoView({ block: "nearest" });
}

function enlarge(picture) {
  const large = document.getElementById("large");
  const shown = large.querySelector("img");
  shown.src = picture.src;
  shown.alt = picture.alt;
  large.querySelector("p").textContent = picture.alt;
  large.showModal();
}

function download(name, parts) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// Lines are bytes, since a file's name need not be text.
function bytesOf(encoded) {
  return Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
}

function linesOf(kind) {
  return items
    .flatMap(buttonsOf)
    .filter((button) => button.dataset.choose.startsWith(kind) && button.getAttribute("aria-pressed") === "true")
    .map((button) => bytesOf(button.dataset.line));
}

function relabel(item) {
  const names = buttonsOf(item)
    .map((button) => button.dataset.choose)
    .filter((choice) => choice.startsWith("relabel"));
  if (!names.length) return;
  // The one that it looks like is the first.
  choose(item, names[(names.indexOf(choices[item.dataset.place]) + 1) % names.length]);
}

const keys = {
  ArrowRight: () => go(1),
  n: () => go(1),
  ArrowLeft: () => go(-1),
  p: () => go(-1),
  k: () => { choose(items[current], "keep"); go(1); },
  d: () => { choose(items[current], "drop"); go(1); },
  r: () => relabel(items[current]),
  u: () => choose(items[current], ""),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !items.length || document.querySelector("dialog[open]")) return;
  if (items[current].hidden || !Object.hasOwn(keys, event.key)) return;
  event.preventDefault();
  keys[event.key]();
});

list.addEventListener("focusin", (event) => {
  current = items.indexOf(event.target.closest("li"));
});

list.addEventListener("click", (event) => {
  const item = event.target.closest("li");
  if (!item) return;
  current = items.indexOf(item);
  const picture = event.target.closest(".enlarge")?.querySelector("img");
  if (picture) enlarge(picture);
  const choice = event.target.dataset.choose;
  if (choice) choose(item, choices[item.dataset.place] === choice ? "" : choice);
});

document.getElementById("exclude").addEventListener("click", () =>
  download("exclude.txt", [bytesOf(list.dataset.earlier), ...linesOf("drop")]));
document.getElementById("labels").addEventListener("click", () =>
  download("labels.csv", ["path,label\n", ...linesOf("relabel")]));
document.getElementById("suggested").addEventListener("click", () => {
  const dialog = document.getElementById("preview");
  dialog.querySelector("p").textContent = preview().words;
  dialog.showModal();
});
document.getElementById("preview").addEventListener("submit", (event) => {
  if (event.submitter.value !== "accept") return;
  for (const item of preview().changed) choose(item, item.dataset.suggestion);
});
// A click beside the picture, or on it, closes it too.
document.getElementById("large").addEventListener("click", (event) => event.currentTarget.close());
document.getElementById("kinds").addEventListener("click", (event) => {
  const kind = event.target.dataset.kind;
  if (!kind) return;
  const shown = event.target.getAttribute("aria-pressed") !== "true";
  event.target.setAttribute("aria-pressed", String(shown));
  for (const item of items) if (item.dataset.kind === kind) item.hidden = !shown;
  if (items[current].hidden) current = Math.max(0, items.findIndex((item) => !item.hidden));
});
document.getElementById("forget").addEventListener("click", () => {
  if (!confirm("Forget all choices?")) return;
  choices = {};
  items.forEach(show);
  count();
  keepChoices();
});

read();
items.forEach(show);
count();
