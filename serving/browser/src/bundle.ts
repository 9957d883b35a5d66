import type { Rule } from './detections.js';
import { digestOf } from './digest.js';
import { ModelyardError } from './errors.js';
import { type BundleFiles, CheckedFiles } from './files.js';
import { type Preprocess, parsePreprocess } from './preprocess.js';

/** What a model does with an image. */
export type Task = 'classify' | 'detect';

/** How a detector's raw output is decoded where the graph does not: `detector.json`. */
export interface Decoding {
  readonly strides: readonly number[];
  readonly rule: Rule;
}

/** A bundle whose index was read and whose small files were checked. */
export interface Bundle {
  readonly model: string;
  readonly version: number;
  /** Identifies the bundle: the digest of its index's `files`, as Python computes it. */
  readonly digest: string;
  readonly task: Task;
  readonly labels: readonly string[];
  readonly preprocess: Preprocess;
  /** Undefined for a classifier, and for a detector's bundle from before `detector.json`. */
  readonly decoding: Decoding | undefined;
  readonly files: CheckedFiles;
}

const INDEX = 'bundle.json';
const FIELDS = new Set(['model', 'version', 'model_digest', 'files', 'tools', 'format']);
const FORMAT = 1;
const HEX = /^[0-9a-f]{64}$/;

type Fields = Record<string, unknown>;

/**
 * Read a bundle's index and what every task needs of it. `digest`: the bundle that is expected, or nothing.
 *
 * Throws ModelyardError: `newer` for a format that is not known here, `integrity` for other bytes than were sealed or
 * another bundle than was expected, `not-found` or `unavailable` for files that do not come.
 */
export async function openBundle(source: BundleFiles, digest?: string): Promise<Bundle> {
  const index = parse(await source.read(INDEX), `${INDEX} in ${source.name}`);
  checkFormat(index, source.name);
  const manifest = manifestOf(index, source.name);
  const actual = await digestOf(manifest);
  if (digest !== undefined && digest !== actual) {
    const what = `holds bundle ${actual.slice(0, 12)} and not ${digest.slice(0, 12)}`;
    throw new ModelyardError('integrity', source.name, what, 'publish the bundle again, or expect the other one');
  }
  const files = new CheckedFiles(source, new Map(Object.entries(manifest)));
  const preprocess = parsePreprocess(parse(await files.read('preprocess.json'), 'preprocess.json'));
  const labels = parse(await files.read('labels.json'), 'labels.json');
  if (!Array.isArray(labels) || !labels.every((label) => typeof label === 'string')) {
    throw new ModelyardError('integrity', `labels.json in ${source.name}`, 'is not a list of names', 'export the version again');
  }
  const task = preprocess.resize.startsWith('longest') ? 'detect' : 'classify';
  const decoding = task === 'detect' && files.has('detector.json') ? decodingOf(parse(await files.read('detector.json'), 'detector.json')) : undefined;
  const { model, version } = index as { model: string; version: number };
  return { model, version, digest: actual, task, labels, preprocess, decoding, files };
}

function parse(data: Uint8Array, name: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(data));
  } catch (error) {
    throw new ModelyardError('integrity', name, 'is not JSON', 'check the address, or publish the bundle again', error);
  }
}

function isRecord(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function checkFormat(index: unknown, name: string): asserts index is Fields {
  if (!isRecord(index)) throw notAnIndex(name);
  const unknown = Object.keys(index).filter((field) => !FIELDS.has(field));
  const { format = FORMAT } = index;
  if (unknown.length || typeof format !== 'number' || format > FORMAT) {
    const what = unknown.length ? `has fields that are not known here (${unknown.join(', ')})` : `has format ${String(format)}, and ${FORMAT} is known here`;
    throw new ModelyardError('newer', `${INDEX} in ${name}`, what, 'use a newer modelyard-browser, or export the version again');
  }
  if (typeof index['model'] !== 'string' || !Number.isInteger(index['version'])) throw notAnIndex(name);
}

function manifestOf(index: Fields, name: string): Record<string, string> {
  const { files } = index;
  if (!isRecord(files)) throw notAnIndex(name);
  for (const [path, digest] of Object.entries(files)) {
    const parts = path.split('/');
    if (typeof digest !== 'string' || !HEX.test(digest) || path.includes('\\') || parts.some((part) => ['', '.', '..'].includes(part))) {
      throw notAnIndex(name);
    }
  }
  return files as Record<string, string>;
}

function notAnIndex(name: string): ModelyardError {
  return new ModelyardError('integrity', `${INDEX} in ${name}`, "is not a bundle's index", 'check the address, or export the version again');
}

function decodingOf(fields: unknown): Decoding {
  const numbers = (value: unknown): value is number[] => Array.isArray(value) && value.every((each) => Number.isInteger(each) && each > 0);
  if (isRecord(fields)) {
    const { strides, score, iou, most } = fields;
    if (numbers(strides) && [score, iou, most].every((value) => typeof value === 'number')) {
      return { strides, rule: { score: score as number, iou: iou as number, most: most as number } };
    }
  }
  throw new ModelyardError('newer', 'detector.json', 'is of a form that is not known here', 'use a newer modelyard-browser, or export the version again');
}
