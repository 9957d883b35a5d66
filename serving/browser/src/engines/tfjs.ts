import type { Tensor } from '@tensorflow/tfjs-core';

import type { CheckedFiles } from '../files.js';
import type { Assets, Engine, EngineKind, Opening, Output } from './engine.js';
import { featureNode, type GraphFile } from './graph.js';
import { hasGpu, needGpu } from './onnx.js';

type Core = typeof import('@tensorflow/tfjs-core');
type Converter = typeof import('@tensorflow/tfjs-converter');
type Backend = 'webgpu' | 'webgl' | 'wasm';

const VARIANTS = ['tfjs-float16', 'tfjs-float32', 'tfjs-uint8'];

/** Node gives CommonJS packages as one default export, bundlers and browsers as names. */
export function unwrap<T extends object>(module: T): T {
  return (module as { default?: T }).default ?? module;
}

async function backend(tf: Core, name: Backend, assets: Assets['tfjs']): Promise<void> {
  if (name === 'webgl') await import('@tensorflow/tfjs-backend-webgl');
  if (name === 'webgpu') await import('@tensorflow/tfjs-backend-webgpu');
  if (name === 'wasm') {
    const wasm = unwrap(await import('@tensorflow/tfjs-backend-wasm'));
    // Its threads are started from the text of its own functions, which minifying bundlers change.
    tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
    if (assets !== undefined) wasm.setWasmPaths(assets);
  }
}

interface Manifest extends GraphFile {
  readonly weightsManifest: { readonly paths: string[]; readonly weights: object[] }[];
}

interface Weights {
  readonly weightSpecs: object[];
  readonly weightData: ArrayBuffer;
}

/** A graph model's files as TensorFlow.js takes them: its topology, and all shards as one buffer. */
async function artifacts(files: CheckedFiles, folder: string): Promise<Manifest & Weights> {
  const model = JSON.parse(new TextDecoder().decode(await files.read(`${folder}/model.json`))) as Manifest;
  const shards = await Promise.all(
    model.weightsManifest.flatMap((group) => group.paths).map((path) => files.read(`${folder}/${path}`)),
  );
  const weights = new Uint8Array(shards.reduce((sum, shard) => sum + shard.length, 0));
  let at = 0;
  for (const shard of shards) {
    weights.set(shard, at);
    at += shard.length;
  }
  return { ...model, weightSpecs: model.weightsManifest.flatMap((group) => group.weights), weightData: weights.buffer };
}

async function open(name: string, kind: Backend, { files, path, task, assets }: Opening): Promise<Engine> {
  if (kind === 'webgpu') await needGpu();
  const tf: Core = unwrap(await import('@tensorflow/tfjs-core'));
  const { loadGraphModel }: Converter = unwrap(await import('@tensorflow/tfjs-converter'));
  await backend(tf, kind, assets.tfjs);
  const use = async (): Promise<void> => {
    // The backend is the page's, not the model's: another model may have changed it.
    if (tf.getBackend() !== kind && !(await tf.setBackend(kind))) throw new Error(`the backend ${kind} cannot be started`);
  };
  await use();
  const loaded = await artifacts(files, path);
  const model = await loadGraphModel({ load: () => Promise.resolve(loaded) } as Parameters<typeof loadGraphModel>[0]);
  const run = async (input: Float32Array | Uint8Array, shape: readonly number[], node?: string): Promise<Output[]> => {
    await use();
    const tensor = tf.tensor(input, [...shape], 'float32');
    const outputs: Tensor[] = [];
    try {
      outputs.push(...[node === undefined ? model.predict(tensor) : model.execute(tensor, node)].flat() as Tensor[]);
      return await Promise.all(outputs.map(outputOf));
    } finally {
      tf.dispose([tensor, ...outputs]);
    }
  };
  const node = task === 'classify' ? featureNode(loaded) : undefined;
  let open = true;
  return {
    name,
    takes: 'tensor',
    gives: task === 'detect' ? 'raw' : 'probabilities',
    run,
    ...(node === undefined ? {} : { features: async (input, shape) => (await run(input, shape, node))[0] as Output }),
    dispose() {
      if (open) model.dispose();
      open = false;
    },
  };
}

async function outputOf(tensor: Tensor): Promise<Output> {
  return { data: Float32Array.from(await tensor.data()), shape: [...tensor.shape] };
}

function kindOf(kind: Backend, isAvailable: () => boolean): EngineKind {
  const name = `tfjs-${kind}`;
  return { name, variants: VARIANTS, isAvailable, open: (opening) => open(name, kind, opening) };
}

/** TensorFlow.js on WebGPU. */
export const tfjsWebgpu: EngineKind = kindOf('webgpu', hasGpu);

/** TensorFlow.js on WebGL. */
export const tfjsWebgl: EngineKind = kindOf('webgl', () => 'WebGL2RenderingContext' in globalThis);

/** TensorFlow.js on WebAssembly. */
export const tfjsWasm: EngineKind = kindOf('wasm', () => 'WebAssembly' in globalThis);
