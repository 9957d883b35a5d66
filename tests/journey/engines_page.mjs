// Runs in a page of a headless browser: the browser package's engines on a bundle, from image files' bytes.

import { load, TRANSFORMERS } from '/browser/dist/index.js';

const ASSETS = {
  litert: '/browser/node_modules/@litertjs/core/wasm/',
  // Transformers.js brings a release of ONNX Runtime Web of its own, and its files fit no other.
  transformers: '/browser/node_modules/@huggingface/transformers/node_modules/onnxruntime-web/dist/',
};

/** Image file bytes → RGBA, as the package's page says to decode them. */
async function pixelsOf(name) {
  const blob = await (await fetch(`/images/${name}`)).blob();
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: 'none', premultiplyAlpha: 'none', imageOrientation: 'from-image' });
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d', { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

const median = (spans) => spans.sort((a, b) => a - b)[Math.floor(spans.length / 2)] ?? 0;

/** One engine's and variant's answers, and the median of milliseconds from bytes to answer. */
export async function engine(name, variant, images) {
  const predictor = await load('/bundle/', { engines: [name], variants: [variant], assets: ASSETS, kinds: TRANSFORMERS });
  const { labels } = predictor.info;
  const answers = [];
  const spans = [];
  for (const image of images) {
    const began = performance.now();
    const answer = await predictor.predict(await pixelsOf(image));
    spans.push(performance.now() - began);
    if (answer.detections) answers.push(answer.detections.map(({ box, score, label }) => [...box, score, labels.indexOf(label)]));
    else answers.push(labels.map((label) => answer.probabilities[label]));
  }
  await predictor.dispose();
  return { info: predictor.info, answers, ms: median(spans) };
}
