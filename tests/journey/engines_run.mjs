// Every engine and variant's answers in Node, from image files' bytes: node engines_run.mjs JOB.json
// Job: lib (our compiled TypeScript), modules (a node_modules folder), bundle, images, runs ([engine, variant]), out,
// offline (whether a fetch is an error).

import { readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';

const job = JSON.parse(await readFile(process.argv[2], 'utf8'));
if (job.offline) globalThis.fetch = (address) => Promise.reject(new Error(`${address} is fetched`));
const sharp = createRequire(path.resolve(job.modules) + path.sep)('sharp');
const { load, TRANSFORMERS } = await import(pathToFileURL(path.join(job.lib, 'index.js')));
const { fromFolder, nodeAssets } = await import(pathToFileURL(path.join(job.lib, 'node.js')));

async function decode(file) {
  const { data, info } = await sharp(await readFile(file), { failOn: 'error', autoOrient: true, ignoreIcc: true })
    .toColourspace('srgb')
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data: new Uint8Array(data), width: info.width, height: info.height };
}

const median = (spans) => spans.sort((a, b) => a - b)[Math.floor(spans.length / 2)] ?? 0;
const images = [];
for (const file of job.images) images.push(await decode(file));
const results = [];
for (const [engine, variant] of job.runs) {
  const predictor = await load(fromFolder(job.bundle), { engines: [engine], variants: [variant], assets: nodeAssets(), kinds: TRANSFORMERS });
  const { labels } = predictor.info;
  const answers = [];
  const spans = [];
  for (const image of images) {
    const answer = await predictor.predict(image);
    spans.push(answer.milliseconds);
    if (answer.detections) answers.push(answer.detections.map(({ box, score, label }) => [...box, score, labels.indexOf(label)]));
    else answers.push(labels.map((label) => answer.probabilities[label]));
  }
  results.push({ info: predictor.info, answers, ms: median(spans) });
  await predictor.dispose();
}
await writeFile(job.out, JSON.stringify(results));
process.exit(0);
