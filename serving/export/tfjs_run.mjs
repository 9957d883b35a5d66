// A TF.js graph model's answers, from image files' bytes, in Node on the wasm backend: node tfjs_run.mjs JOB.json
// Job: modules (a node_modules folder), model (a folder with model.json), size, images, report.

import { readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import process from 'node:process';

import { fit } from './resize.mjs';

const job = JSON.parse(await readFile(process.argv[2], 'utf8'));
const require = createRequire(path.resolve(job.modules) + path.sep);
const tf = require('@tensorflow/tfjs-core');
const { loadGraphModel } = require('@tensorflow/tfjs-converter');
const wasm = require('@tensorflow/tfjs-backend-wasm');
const sharp = require('sharp');

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

/** Image file bytes → float32 RGB in 0..1, `[1, size, size, 3]`. */
async function tensorOf(file, size) {
  const { data, info } = await sharp(await readFile(file), { failOn: 'error', autoOrient: true, ignoreIcc: true })
    .toColourspace('srgb')
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  const crop = fit(data, info.width, info.height, size);
  return tf.tensor4d(Float32Array.from(crop, (level) => Math.fround(level / 255)), [1, size, size, 3]);
}

wasm.setWasmPaths(path.join(path.dirname(require.resolve('@tensorflow/tfjs-backend-wasm/package.json')), 'dist') + path.sep);
await tf.setBackend('wasm');
await tf.ready();
const model = await loadGraphModel(fromDisk(job.model));
const probabilities = [];
for (const file of job.images) {
  const input = await tensorOf(file, job.size);
  const output = model.predict(input);
  probabilities.push(Array.from(await output.data()));
  tf.dispose([input, output]);
}
await writeFile(job.report, JSON.stringify({ probabilities, backend: tf.getBackend(), tensors: tf.memory().numTensors }));
process.exit(0);
