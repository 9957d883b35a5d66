/** What the tests share: bundles in memory, engines without a runtime, images of one colour. */

import { digestOf, sha256 } from '../src/digest.js';
import type { Engine, EngineKind } from '../src/engines/engine.js';
import { type BundleFiles, missing } from '../src/files.js';
import type { Image } from '../src/preprocess.js';

export const LABELS = ['red', 'green', 'blue'];
export const SIZE = 8;

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

export interface World extends BundleFiles {
  readonly contents: Map<string, Uint8Array>;
  readonly reads: string[];
  readonly digest: string;
}

/** A sealed bundle; `files` are added or take the place of a file, `index` adds fields to bundle.json. */
export async function sealed(files: Record<string, unknown> = {}, index: Record<string, unknown> = {}): Promise<World> {
  const small = { 'preprocess.json': { size: SIZE }, 'labels.json': LABELS, 'model.onnx': 'network', 'card.md': 'card', ...files };
  const contents = new Map(Object.entries(small).map(([name, value]) => [name, encode(value)]));
  const digests = Object.fromEntries(await Promise.all([...contents].map(async ([name, data]) => [name, await sha256(data)] as const)));
  contents.set('bundle.json', encode({ model: 'colours', version: 3, model_digest: '0'.repeat(64), files: digests, tools: {}, ...index }));
  const reads: string[] = [];
  return {
    name: 'memory',
    contents,
    reads,
    digest: await digestOf(digests),
    read(path) {
      reads.push(path);
      const data = contents.get(path);
      return data ? Promise.resolve(data) : Promise.reject(missing('memory', path));
    },
  };
}

/** An image of one colour. */
export function coloured(red: number, green: number, blue: number, width = 12, height = 10): Image {
  const data = Uint8Array.from({ length: width * height * 3 }, (_, at) => [red, green, blue][at % 3] as number);
  return { data, width, height };
}

export const IMAGES = [coloured(250, 10, 10), coloured(10, 250, 10), coloured(10, 10, 250)];

/** What the engines below answer: each channel's share of the light. */
export function lightOf(input: Float32Array | Uint8Array): number[] {
  const area = input.length / 3;
  const values = Array.from(input);
  const sums = [0, 1, 2].map((channel) => values.slice(channel * area, (channel + 1) * area).reduce((sum, value) => sum + value, 0));
  const all = sums.reduce((sum, value) => sum + value, 0);
  return sums.map((sum) => (all ? sum / all : 1 / 3));
}

export type Events = string[];

/** An engine that tells colours apart, with a fault between its answer and the caller's. */
export function kindOf(name: string, events: Events, fault: (row: number[]) => number[] = (row) => row): EngineKind {
  return {
    name,
    variants: ['onnx'],
    isAvailable: () => true,
    async open({ files, path }): Promise<Engine> {
      await files.read(path);
      events.push(`open ${name}`);
      return {
        name,
        takes: 'tensor',
        gives: 'probabilities',
        run: (input) => Promise.resolve([{ data: Float32Array.from(fault(lightOf(input))), shape: [1, 3] }]),
        dispose: () => void events.push(`dispose ${name}`),
      };
    },
  };
}
