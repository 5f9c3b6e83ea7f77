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

function choose(item, choice) {
  if (choice) choices[item.dataset.place] = choice;
  else delete choices[item.dataset.place];
  show(item);
  count();
  keepChoices();
}

function go(place) {
  current = Math.max(0, Math.min(items.length - 1, place));
  items[current].focus({ preventScroll: true });
  items[current].scrollIntoView({ block: "nearest" });
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
  const chosen = names.indexOf(choices[item.dataset.place]);
  const suggested = Math.max(0, names.indexOf(item.dataset.suggestion));
  choose(item, names[chosen < 0 ? suggested : (chosen + 1) % names.length]);
}

const keys = {
  ArrowRight: () => go(current + 1),
  n: () => go(current + 1),
  ArrowLeft: () => go(current - 1),
  p: () => go(current - 1),
  k: () => { choose(items[current], "keep"); go(current + 1); },
  d: () => { choose(items[current], "drop"); go(current + 1); },
  r: () => relabel(items[current]),
  u: () => choose(items[current], ""),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !items.length || !Object.hasOwn(keys, event.key)) return;
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
  const choice = event.target.dataset.choose;
  if (choice) choose(item, choices[item.dataset.place] === choice ? "" : choice);
});

document.getElementById("exclude").addEventListener("click", () =>
  download("exclude.txt", [bytesOf(list.dataset.earlier), ...linesOf("drop")]));
document.getElementById("labels").addEventListener("click", () =>
  download("labels.csv", ["path,label\n", ...linesOf("relabel")]));
document.getElementById("suggested").addEventListener("click", () => {
  for (const item of items) if (!choices[item.dataset.place]) choose(item, item.dataset.suggestion);
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
