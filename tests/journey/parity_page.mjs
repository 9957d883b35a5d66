// Runs in a page of a headless browser: a bundle's TF.js variants and its Transformers.js variant, from image files' bytes.
// The page has TF.js' own browser builds loaded by script tags; images and bundle come from the test's server.

import { fit } from '/export/resize.mjs';
import { decode, letterbox, toImage, warm } from '/browser/dist/index.js';

const tf = globalThis.tf;

/** Image file bytes → RGB, as a page decodes it: upright, no colour conversion. */
async function pixelsOf(name) {
  const blob = await (await fetch(`/images/${name}`)).blob();
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: 'none', premultiplyAlpha: 'none', imageOrientation: 'from-image' });
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d', { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const { data, width, height } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  const rgb = new Uint8Array(width * height * 3);
  for (let at = 0; at < width * height; at += 1) for (let band = 0; band < 3; band += 1) rgb[at * 3 + band] = data[at * 4 + band];
  return { rgb, width, height };
}

const median = (spans) => spans.sort((a, b) => a - b)[Math.floor(spans.length / 2)] ?? 0;

/** One TF.js variant's answers, on the wasm backend, and the median of milliseconds from bytes to answer. */
export async function tfjs(path, images, size, head) {
  tf.wasm.setWasmPaths('/browser/node_modules/@tensorflow/tfjs-backend-wasm/dist/');
  await tf.setBackend('wasm');
  const model = await tf.loadGraphModel(`/bundle/${path}/model.json`);
  await warm(model, tf.zeros([1, size, size, 3]));
  const answers = [];
  const spans = [];
  for (const name of images) {
    const began = performance.now();
    const { rgb, width, height } = await pixelsOf(name);
    const { pixels, placement } = head ? letterbox(rgb, width, height, size) : { pixels: fit(rgb, width, height, size) };
    const input = tf.tensor4d(Float32Array.from(pixels, (level) => Math.fround(level / 255)), [1, size, size, 3]);
    const output = model.predict(input);
    const values = await output.data();
    if (head) {
      const cells = head.strides.reduce((sum, stride) => sum + Math.ceil(size / stride) ** 2, 0);
      const found = decode(values, { ...head, size }, output.shape.at(-1) === cells);
      answers.push(found.map((one) => toImage(one, placement)).map((one) => [...one.box, one.score, one.class]));
    } else answers.push(Array.from(values));
    spans.push(performance.now() - began);
    tf.dispose([input, output]);
  }
  return { answers, ms: median(spans), backend: tf.getBackend() };
}

/** The answers of Transformers.js' own pipeline, as its users call it, in the order of the labels. */
export async function transformers(images, labels, dtype) {
  const { env, pipeline } = await import('/browser/node_modules/@huggingface/transformers/dist/transformers.min.js');
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = '/bundle/';
  env.useBrowserCache = false;
  env.useWasmCache = false;
  // Transformers.js brings a release of ONNX Runtime Web of its own, and its files fit no other.
  env.backends.onnx.wasm.wasmPaths = '/browser/node_modules/@huggingface/transformers/node_modules/onnxruntime-web/dist/';
  env.backends.onnx.wasm.numThreads = 1;
  const classify = await pipeline('image-classification', 'transformersjs', { dtype, device: 'wasm' });
  const answers = [];
  const spans = [];
  for (const name of images) {
    const began = performance.now();
    const found = await classify(`/images/${name}`, { top_k: labels.length });
    spans.push(performance.now() - began);
    const scores = Object.fromEntries(found.map((one) => [one.label, one.score]));
    answers.push(labels.map((label) => scores[label]));
  }
  return { answers, ms: median(spans) };
}

/** The answers of model.onnx itself on ONNX Runtime Web: decoded pictures of any size in. */
export async function ortweb(file, images) {
  const ort = await import('/browser/node_modules/onnxruntime-web/dist/ort.wasm.min.mjs');
  ort.env.wasm.wasmPaths = '/browser/node_modules/onnxruntime-web/dist/';
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(`/bundle/${file}`, { executionProviders: ['wasm'] });
  const answers = [];
  const spans = [];
  for (const name of images) {
    const began = performance.now();
    const { rgb, width, height } = await pixelsOf(name);
    const found = await session.run({ images: new ort.Tensor('uint8', rgb, [1, height, width, 3]) });
    const { data, dims } = found[session.outputNames[0]];
    const rows = Array.from(data);
    if (dims.length === 2) answers.push(rows);
    else answers.push(Array.from({ length: dims[1] }, (_, row) => rows.slice(row * 6, row * 6 + 6)).filter((row) => row[4] > 0));
    spans.push(performance.now() - began);
  }
  return { answers, ms: median(spans) };
}
