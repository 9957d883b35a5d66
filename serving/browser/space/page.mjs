// A page that runs a bundle's classifier: the same resize as in training, then TF.js on WebAssembly.

import { fit } from './resize.mjs';

const tf = globalThis.tf;
const at = (id) => document.getElementById(id);
const told = await (await fetch('model/about.json')).json();
const decoding = { colorSpaceConversion: 'none', premultiplyAlpha: 'none', imageOrientation: 'from-image' };
const most = 8;

tf.wasm.setWasmPaths('lib/');
await tf.setBackend('wasm');
const model = await tf.loadGraphModel('model/tfjs/model.json');
const empty = tf.zeros([1, told.size, told.size, 3]);
await model.predict(empty).data(); // the first answer is slower: let it not be a person's
at('title').textContent = `${told.model}/${told.version}`;
document.title = at('title').textContent;
at('file').disabled = false;
at('camera').disabled = !navigator.mediaDevices?.getUserMedia;

/** What is drawn on a canvas → each class's probability. */
export async function predict(canvas) {
  const { width, height } = canvas;
  const { data } = canvas.getContext('2d', { willReadFrequently: true }).getImageData(0, 0, width, height);
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    rgb[to++] = data[from];
    rgb[to++] = data[from + 1];
    rgb[to++] = data[from + 2];
  }
  const levels = Float32Array.from(fit(rgb, width, height, told.size, told.preprocess), (level) => Math.fround(level / 255));
  const input = tf.tensor4d(levels, [1, told.size, told.size, 3]);
  const output = model.predict(input);
  const found = Array.from(await output.data());
  tf.dispose([input, output]);
  return found;
}

async function show(source) {
  const canvas = at('picture');
  canvas.width = source.videoWidth ?? source.width;
  canvas.height = source.videoHeight ?? source.height;
  canvas.getContext('2d', { willReadFrequently: true }).drawImage(source, 0, 0);
  at('drop').classList.add('shown');
  const began = performance.now();
  const found = await predict(canvas);
  const ranked = found.map((score, place) => ({ label: told.labels[place], score })).sort((a, b) => b.score - a.score);
  at('label').textContent = ranked[0].label;
  at('scores').replaceChildren(...ranked.slice(0, most).map(row));
  at('said').textContent = `${(performance.now() - began).toFixed(0)} ms from picture to answer`;
  globalThis.answer = Object.fromEntries(ranked.map(({ label, score }) => [label, score]));
}

function row({ label, score }) {
  const percent = `${(score * 100).toFixed(1)} %`;
  const parts = [['', label], ['track', ''], ['number', percent]].map(([kind, text]) => {
    const part = document.createElement('div');
    part.className = kind;
    part.textContent = text;
    return part;
  });
  const fill = document.createElement('div');
  fill.className = 'fill';
  fill.style.width = percent.replace(' ', '');
  parts[1].append(fill);
  const item = document.createElement('li');
  item.append(...parts);
  return item;
}

async function open(file) {
  stop();
  try {
    await show(await createImageBitmap(file, decoding));
  } catch {
    at('said').textContent = `${file.name}: is not a picture that this browser can read`;
  }
}

let stream = null;

function stop() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  at('camera').textContent = 'Use the camera';
}

async function film() {
  if (stream) return stop();
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
  } catch {
    at('said').textContent = 'The camera cannot be used: allow it in the browser';
    return;
  }
  at('camera').textContent = 'Stop the camera';
  const video = Object.assign(document.createElement('video'), { srcObject: stream, playsInline: true, muted: true });
  await video.play();
  while (stream) {
    await show(video);
    await new Promise(requestAnimationFrame);
  }
}

at('file').addEventListener('change', ({ target }) => target.files[0] && open(target.files[0]));
at('camera').addEventListener('click', film);
for (const kind of ['dragover', 'dragleave', 'drop']) {
  at('drop').addEventListener(kind, (event) => {
    event.preventDefault();
    at('drop').classList.toggle('over', kind === 'dragover');
    if (kind === 'drop' && event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
  });
}
