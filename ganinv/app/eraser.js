// The canvas of `eraser.py`. Gradio runs this once, with `element`, `props` and `watch` at hand. The mask is
// kept at MASK_SIDE x MASK_SIDE: white = erased. props.value goes to the server with the next request that
// asks for it; a value that comes from the server shows another picture, or another hole on the same one.
const SIDE = MASK_SIDE;
const KEPT_STEPS = 50;
const stage = element.querySelector(".stage"), canvas = stage.querySelector("canvas"), hint = stage.querySelector(".hint");
const size = element.querySelector("input[type=range]");
const view = canvas.getContext("2d");
canvas.width = canvas.height = 2 * SIDE;
const mask = document.createElement("canvas");
mask.width = mask.height = SIDE;
const pen = mask.getContext("2d", { willReadFrequently: true });
let picture = null, seen = 0, tool = "brush", history = [], stroke = null, cursor = null;

const blank = () => { const kept = pen.getImageData(0, 0, SIDE, SIDE).data; for (let i = 3; i < kept.length; i += 4) if (kept[i]) return false; return true; };
const remember = () => { history.push(pen.getImageData(0, 0, SIDE, SIDE)); if (history.length > KEPT_STEPS) history.shift(); };
const tell = () => { props.value = { number: seen, hole: blank() ? null : mask.toDataURL("image/png") }; };

function draw() {
  const whole = canvas.width;
  view.clearRect(0, 0, whole, whole);
  hint.hidden = picture !== null;
  if (!picture) return;
  view.imageSmoothingQuality = "high";
  view.drawImage(picture, 0, 0, whole, whole);
  const layer = document.createElement("canvas");
  layer.width = layer.height = whole;
  const ink = layer.getContext("2d");
  ink.fillStyle = "#808080";
  ink.fillRect(0, 0, whole, whole);
  ink.strokeStyle = "#9a9a9a";
  ink.lineWidth = 3;
  for (let x = -whole; x < whole; x += 22) { ink.beginPath(); ink.moveTo(x, 0); ink.lineTo(x + whole, whole); ink.stroke(); }
  ink.globalCompositeOperation = "destination-in";
  ink.imageSmoothingEnabled = true;
  ink.drawImage(mask, 0, 0, whole, whole);
  view.drawImage(layer, 0, 0);
  const at = stroke && stroke.box ? null : cursor;
  view.lineWidth = 2;
  view.strokeStyle = "white";
  view.shadowColor = "black";
  view.shadowBlur = 3;
  if (at && tool !== "box") { view.beginPath(); view.arc(2 * at.x, 2 * at.y, size.valueAsNumber, 0, 7); view.stroke(); }
  if (stroke && stroke.box) view.strokeRect(2 * stroke.from.x, 2 * stroke.from.y, 2 * (stroke.to.x - stroke.from.x), 2 * (stroke.to.y - stroke.from.y));
  view.shadowBlur = 0;
}

function line(from, to) {
  pen.globalCompositeOperation = tool === "restore" ? "destination-out" : "source-over";
  pen.strokeStyle = pen.fillStyle = "white";
  pen.lineCap = "round";
  pen.lineWidth = size.valueAsNumber;
  pen.beginPath();
  pen.moveTo(from.x, from.y);
  pen.lineTo(to.x + 0.01, to.y);
  pen.stroke();
  pen.globalCompositeOperation = "source-over";
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return { x: (event.clientX - box.left) / box.width * SIDE, y: (event.clientY - box.top) / box.height * SIDE };
}

canvas.addEventListener("pointerdown", (event) => {
  if (!picture || event.button) return;
  canvas.setPointerCapture(event.pointerId);
  remember();
  const at = place(event);
  stroke = { from: at, to: at, box: tool === "box" };
  if (!stroke.box) line(at, at);
  draw();
});
function follow(event) {
  cursor = place(event);
  if (stroke) { if (!stroke.box) line(stroke.to, cursor); stroke.to = cursor; }
  draw();
}
canvas.addEventListener("pointermove", follow);
canvas.addEventListener("pointerleave", () => { if (!stroke) { cursor = null; draw(); } });
const lift = (event) => {
  if (!stroke) return;
  if (event.type === "pointerup") follow(event); // where a quick hand lets go, no move may have been told
  if (stroke.box) {
    pen.fillStyle = "white";
    pen.fillRect(stroke.from.x, stroke.from.y, stroke.to.x - stroke.from.x, stroke.to.y - stroke.from.y);
  }
  stroke = null;
  draw();
  tell();
};
canvas.addEventListener("pointerup", lift);
canvas.addEventListener("pointercancel", lift);

const acts = {
  undo() { if (history.length) pen.putImageData(history.pop(), 0, 0); },
  invert() { remember(); pen.globalCompositeOperation = "xor"; pen.fillStyle = "white"; pen.fillRect(0, 0, SIDE, SIDE); pen.globalCompositeOperation = "source-over"; },
  clear() { remember(); pen.clearRect(0, 0, SIDE, SIDE); },
};
function act(name) { if (picture) { acts[name](); draw(); tell(); } }
function choose(name) {
  tool = name;
  for (const button of element.querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset.tool === name));
  draw();
}
for (const button of element.querySelectorAll("[data-tool]")) button.addEventListener("click", () => choose(button.dataset.tool));
for (const button of element.querySelectorAll("[data-act]")) button.addEventListener("click", () => act(button.dataset.act));
size.addEventListener("input", draw);

const keys = { b: () => choose("brush"), r: () => choose("restore"), x: () => choose("box"), u: () => act("undo"), i: () => act("invert"), c: () => act("clear"),
  "[": () => { size.valueAsNumber -= 6; draw(); }, "]": () => { size.valueAsNumber += 6; draw(); } };
const arrows = { ArrowLeft: [-8, 0], ArrowRight: [8, 0], ArrowUp: [0, -8], ArrowDown: [0, 8] };
canvas.addEventListener("keydown", (event) => {
  if (!picture) return;
  if ((event.ctrlKey || event.metaKey) && event.key === "z") { event.preventDefault(); return act("undo"); }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in arrows) {
    const [x, y] = arrows[event.key], from = cursor || { x: SIDE / 2, y: SIDE / 2 };
    cursor = { x: Math.min(SIDE, Math.max(0, from.x + x)), y: Math.min(SIDE, Math.max(0, from.y + y)) };
    draw();
  } else if (event.key === " ") {
    cursor = cursor || { x: SIDE / 2, y: SIDE / 2 };
    remember();
    if (tool === "box") choose("brush");
    line(cursor, cursor);
    draw();
    tell();
  } else if (keys[event.key]) keys[event.key]();
  else return;
  event.preventDefault();
});

// A picture that is pasted or dropped goes the way of the upload button.
function hand(file) {
  const input = document.querySelector("#open input[type=file]") || document.querySelector("input#open") || document.querySelector("input[type=file]");
  if (!file || !input) return;
  const carrier = new DataTransfer();
  carrier.items.add(file);
  input.files = carrier.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}
document.addEventListener("paste", (event) => {
  const file = [...(event.clipboardData ? event.clipboardData.files : [])].find((one) => one.type.startsWith("image/"));
  if (file) { event.preventDefault(); hand(file); }
});
stage.addEventListener("dragover", (event) => { event.preventDefault(); stage.classList.add("over"); });
stage.addEventListener("dragleave", () => stage.classList.remove("over"));
stage.addEventListener("drop", (event) => { event.preventDefault(); stage.classList.remove("over"); hand(event.dataTransfer.files[0]); });

function load(url, then) { const image = new Image(); image.onload = () => then(image); image.src = url; }
function paint(url) {
  if (!url) { pen.clearRect(0, 0, SIDE, SIDE); draw(); return; }
  load(url, (image) => { pen.clearRect(0, 0, SIDE, SIDE); pen.drawImage(image, 0, 0); draw(); });
}
function take() {
  const value = props.value;
  if (!value || value.number === seen) return; // what is shown already, or was told by this canvas itself
  seen = value.number;
  if (value.picture) {
    history = [];
    load(value.picture, (image) => { picture = image; paint(value.hole); });
    props.value = { number: seen, hole: value.hole };
  } else if (picture) {
    remember();
    paint(value.hole);
  }
}
watch("value", take);
take();
draw();
