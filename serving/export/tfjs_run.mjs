// TF.js graph models' answers, from image files' bytes, in Node on the wasm backend: node tfjs_run.mjs JOB.json
// Job: modules (a node_modules folder), lib (our compiled TypeScript), images, preprocess and head (as in a bundle), report.
// Each line on standard input is a model's folder; its answers are written to FOLDER.answers.json, and FOLDER is printed.
// The images are decoded while the first model is still being converted.

import { readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import process from 'node:process';
import readline from 'node:readline';
import { pathToFileURL } from 'node:url';

import { fit } from './resize.mjs';

const job = JSON.parse(await readFile(process.argv[2], 'utf8'));
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const require = createRequire(path.resolve(job.modules) + path.sep);
const tf = require('@tensorflow/tfjs-core');
const { loadGraphModel } = require('@tensorflow/tfjs-converter');
const wasm = require('@tensorflow/tfjs-backend-wasm');
const sharp = require('sharp');
const { decode, letterbox, toImage, warm } = await import(pathToFileURL(path.join(job.lib, 'index.js')));
const { preprocess, head } = job;
const { size } = preprocess;

/** Reads model.json and its shards from disk, as a browser would fetch them. */
function fromDisk(folder) {
  return {
    async load() {
      const model = JSON.parse(await readFile(path.join(folder, 'model.json'), 'utf8'));
      const shards = model.weightsManifest.flatMap((group) => group.paths);
      const bytes = Buffer.concat(await Promise.all(shards.map((shard) => readFile(path.join(folder, shard)))));
      return {
        ...model,
        weightSpecs: model.weightsManifest.flatMap((group) => group.weights),
        weightData: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength),
      };
    },
  };
}

/** Image file bytes → uint8 RGB as the network takes it, and where the image lies in it. */
async function prepare(file) {
  const { data, info } = await sharp(await readFile(file), { failOn: 'error', autoOrient: true, ignoreIcc: true })
    .toColourspace('srgb')
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  return head ? letterbox(data, info.width, info.height, size) : { pixels: fit(data, info.width, info.height, size, preprocess) };
}

const tensorOf = (pixels) => tf.tensor4d(Float32Array.from(pixels, (level) => Math.fround(level / 255)), [1, size, size, 3]);

/** A network's output for one image: probabilities, or detections as rows of x1, y1, x2, y2, score, class. */
async function answer(output, placement) {
  const values = await output.data();
  if (!head) return Array.from(values);
  const cells = head.strides.reduce((sum, stride) => sum + Math.ceil(size / stride) ** 2, 0);
  const found = decode(values, { ...head, size }, output.shape.at(-1) === cells);
  return found.map((one) => toImage(one, placement)).map((one) => [...one.box, one.score, one.class]);
}

const median = (spans) => spans.sort((a, b) => a - b)[Math.floor(spans.length / 2)] ?? 0;

async function measure(folder, images) {
  const model = await loadGraphModel(fromDisk(folder));
  await warm(model, tf.zeros([1, size, size, 3]));
  const answers = [];
  const spans = [];
  for (const { pixels, placement } of images) {
    const began = performance.now();
    const input = tensorOf(pixels);
    const output = model.predict(input);
    answers.push(await answer(output, placement));
    spans.push(performance.now() - began);
    tf.dispose([input, output]);
  }
  model.dispose();
  return { answers, ms: median(spans) };
}

wasm.setWasmPaths(path.join(path.dirname(require.resolve('@tensorflow/tfjs-backend-wasm/package.json')), 'dist') + path.sep);
await tf.setBackend('wasm');
await tf.ready();
const began = performance.now();
const images = [];
for (const file of job.images) images.push(await prepare(file));
const decodeMs = (performance.now() - began) / Math.max(images.length, 1);
for (let line = await lines.next(); !line.done; line = await lines.next()) {
  const { answers, ms } = await measure(line.value, images);
  await writeFile(`${line.value}.answers.json`, JSON.stringify({ answers, ms: ms + decodeMs, backend: tf.getBackend() }));
  process.stdout.write(`${line.value}\n`);
}
await writeFile(job.report, '{}');
process.exit(0);
