import { zip } from 'fflate';

import type { Taught } from '../src/teach/head.js';
import { headScores } from '../src/teach/scores.js';
import type { About } from './page.js';
import type { Kept } from './store.js';

const FORMAT = 1;
const CHECKS = 24;

/**
 * What was taught as one file, for `modelyard import` and `modelyard register`: the images in a folder for each class and take,
 * and `taught.json` with the head, its accuracy by take, and its probabilities for some of the images that it did not see.
 */
export async function handover(about: About, samples: readonly Kept[], { head, losses, accuracy, heldOut }: Taught): Promise<Blob> {
  const files: Record<string, Uint8Array> = {};
  const named: { file: string; sample: Kept }[] = [];
  const folders = folderNames(samples);
  for (const [index, sample] of samples.entries()) {
    const file = `${folders.get(sample.label)}/${folders.get(sample.take)}/${String(index).padStart(5, '0')}.jpg`;
    files[file] = new Uint8Array(await sample.image.arrayBuffer());
    named.push({ file, sample });
  }
  const unseen = named.filter(({ sample }) => heldOut.includes(sample.take));
  const document = {
    format: FORMAT,
    base: { model: about.model, version: about.version, bundle: about.bundle },
    labels: head.labels,
    head: { kernel: [...head.kernel], bias: [...head.bias] },
    training: { losses, accuracy: accuracy ?? null, held_out: heldOut.map((take) => folders.get(take)) },
    images: named.map(({ file, sample }) => ({ file, label: sample.label, take: folders.get(sample.take) })),
    checks: spread(unseen.length ? unseen : named).map(({ file, sample }) => ({ file, probabilities: headScores(head, sample.features) })),
  };
  files['taught.json'] = new TextEncoder().encode(JSON.stringify(document));
  return new Promise((resolve, reject) => {
    // JPEGs are compressed already.
    zip(files, { level: 0 }, (error, data) => (error ? reject(error) : resolve(new Blob([data as Uint8Array<ArrayBuffer>], { type: 'application/zip' }))));
  });
}

/** Folder names that every system can make; a label itself stands in `taught.json`. */
function folderNames(samples: readonly Kept[]): Map<string, string> {
  const names = new Map<string, string>();
  for (const { label } of samples) if (!names.has(label)) names.set(label, `class-${String(names.size + 1).padStart(2, '0')}`);
  let takes = 0;
  for (const { take } of samples) if (!names.has(take)) names.set(take, `take-${String((takes += 1)).padStart(3, '0')}`);
  return names;
}

function spread<T>(items: readonly T[]): T[] {
  const step = Math.max(1, items.length / CHECKS);
  return Array.from({ length: Math.min(CHECKS, items.length) }, (_, at) => items[Math.trunc(at * step)] as T);
}
