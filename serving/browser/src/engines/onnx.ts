import type { InferenceSession, Tensor } from 'onnxruntime-web';

import type { Engine, EngineKind, Opening, Output } from './engine.js';

type Runtime = typeof import('onnxruntime-web/wasm');
type Provider = 'webgpu' | 'wasm';

/** The best first. */
export const ONNX_VARIANTS = ['onnx-tensor', 'onnx', 'onnx-float16', 'onnx-int8'];
const MOST_THREADS = 4;

/** Threads need memory that workers share, which browsers give to cross-origin isolated pages only. */
export function threads(): number {
  const isolated = (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated === true;
  return isolated ? Math.min(navigator.hardwareConcurrency, MOST_THREADS) : 1;
}

async function runtime(provider: Provider, assets: string | undefined): Promise<Runtime> {
  const ort = provider === 'webgpu' ? await import('onnxruntime-web/webgpu') : await import('onnxruntime-web/wasm');
  ort.env.logLevel = 'error';
  ort.env.wasm.numThreads = threads();
  if (assets !== undefined) ort.env.wasm.wasmPaths = assets;
  return ort as Runtime;
}

/** Outputs other than float32 are none of ours: half precision is inside of our networks only. */
async function outputOf(tensor: Tensor): Promise<Output> {
  const data = await tensor.getData();
  if (!(data instanceof Float32Array)) throw new TypeError(`the output is ${tensor.type} and not float32`);
  const output = { data: data.slice(), shape: [...tensor.dims] };
  tensor.dispose();
  return output;
}

async function open(name: string, provider: Provider, { files, path, assets }: Opening): Promise<Engine> {
  if (provider === 'webgpu') await needGpu();
  const ort = await runtime(provider, assets.onnxruntime);
  const session: InferenceSession = await ort.InferenceSession.create(await files.read(path), { executionProviders: [provider] });
  const [given] = session.inputMetadata;
  const [first] = session.outputNames;
  if (!given?.isTensor || first === undefined) throw new TypeError('the network has no tensor for an input, or no output');
  const takes = given.type === 'uint8' ? 'image' : 'tensor';
  let open = true;
  return {
    name,
    takes,
    gives: first === 'detections' ? 'detections' : 'probabilities',
    async run(input, shape) {
      const tensor = input instanceof Uint8Array ? new ort.Tensor('uint8', input, shape) : new ort.Tensor('float32', input, shape);
      const outputs = await session.run({ [given.name]: tensor }, [first]);
      return Promise.all(Object.values(outputs).map(outputOf));
    },
    dispose() {
      if (open) void session.release();
      open = false;
    },
  };
}

function kindOf(provider: Provider, isAvailable: () => boolean): EngineKind {
  const name = `onnx-${provider}`;
  return { name, variants: ONNX_VARIANTS, isAvailable, open: (opening) => open(name, provider, opening) };
}

/** Whether there is WebGPU. */
export function hasGpu(): boolean {
  return 'gpu' in (globalThis.navigator ?? {});
}

/** Rejects where a browser with WebGPU has no GPU for it, before a runtime of many megabytes is loaded. */
export async function needGpu(): Promise<void> {
  const { gpu } = globalThis.navigator as { gpu?: { requestAdapter(): Promise<object | null> } };
  if (!(await gpu?.requestAdapter())) throw new Error('the browser has no GPU for WebGPU');
}

/** ONNX Runtime Web on WebGPU. */
export const onnxWebgpu: EngineKind = kindOf('webgpu', hasGpu);

/** ONNX Runtime Web on WebAssembly, with threads where the page is cross-origin isolated. */
export const onnxWasm: EngineKind = kindOf('wasm', () => 'WebAssembly' in globalThis);
