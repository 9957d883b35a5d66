import type { CheckedFiles } from '../files.js';
import type { Engine, EngineKind, Opening, Output } from './engine.js';
import { hasGpu, ONNX_VARIANTS, threads } from './onnx.js';

type Runtime = typeof import('@huggingface/transformers');
type Device = 'webgpu' | 'wasm' | 'cpu';
type Model = Awaited<ReturnType<Runtime['PreTrainedModel']['from_pretrained']>>;

/** Node has no device `wasm`: there Transformers.js runs ONNX Runtime's own library. */
const isNode = (): boolean => typeof process !== 'undefined' && process.release?.name === 'node';

let opened = 0;
let turn: Promise<unknown> = Promise.resolve();

/**
 * A bundle's ONNX file as a model of Transformers.js.
 *
 * Its way to a file goes by the name of a repository: a cache of our own answers for that name with the bytes that were
 * checked, and nothing is looked for elsewhere. `custom` is its word for a network that it knows nothing of. Its settings
 * are the page's too, so they are set back.
 */
async function loaded(runtime: Runtime, device: Device, files: CheckedFiles, path: string): Promise<Model> {
  const { env, PreTrainedModel } = runtime;
  opened += 1;
  const name = `modelyard-bundle-${opened}`;
  const data = await files.read(path);
  const isOurs = (request: string): boolean => request.includes(`${name}/`) && request.endsWith(`/${path}`);
  const cache = {
    match: (request: string) => Promise.resolve(isOurs(request) ? new Response(data as BodyInit) : undefined),
    put: () => Promise.resolve(),
  };
  const before = { allowLocalModels: env.allowLocalModels, useCustomCache: env.useCustomCache, customCache: env.customCache, useWasmCache: env.useWasmCache };
  Object.assign(env, { allowLocalModels: true, useCustomCache: true, customCache: cache, useWasmCache: false });
  try {
    return await PreTrainedModel.from_pretrained(name, {
      config: { model_type: 'custom' } as never,
      local_files_only: true,
      subfolder: '',
      model_file_name: path.replace(/\.onnx$/, ''),
      dtype: 'fp32', // the end of the file's name; what is inside may be of any precision
      device,
    });
  } finally {
    Object.assign(env, before);
  }
}

function configure({ env }: Runtime, assets: string | undefined): void {
  const { wasm } = env.backends.onnx as { wasm?: { wasmPaths?: unknown; numThreads?: number } };
  if (!wasm || isNode()) return;
  wasm.wasmPaths = assets ?? './'; // left alone, it is a server of others
  wasm.numThreads = threads();
}

async function open(name: string, device: Device, { files, path, assets }: Opening): Promise<Engine> {
  const runtime = await import('@huggingface/transformers');
  configure(runtime, assets.transformers);
  const coming = turn.then(() => loaded(runtime, device, files, path));
  turn = coming.catch(() => undefined);
  const model = await coming;
  const session = model.sessions['model'] as { inputNames: string[]; outputNames: string[] };
  const [given] = session.inputNames;
  const [first] = session.outputNames;
  if (given === undefined || first === undefined) throw new TypeError('the network has no input, or no output');
  let open = true;
  return {
    name,
    takes: given === 'images' ? 'image' : 'tensor',
    gives: first === 'detections' ? 'detections' : 'probabilities',
    async run(input, shape) {
      const type = input instanceof Uint8Array ? 'uint8' : 'float32';
      const outputs = await model.forward({ [given]: new runtime.Tensor(type, input, [...shape]) });
      return [outputOf(outputs[first])];
    },
    dispose() {
      if (open) void model.dispose();
      open = false;
    },
  };
}

function outputOf(tensor: { type: string; data: unknown; dims: number[] }): Output {
  if (!(tensor.data instanceof Float32Array)) throw new TypeError(`the output is ${tensor.type} and not float32`);
  return { data: tensor.data.slice(), shape: [...tensor.dims] };
}

function kindOf(name: string, device: () => Device, isAvailable: () => boolean): EngineKind {
  return { name, variants: ONNX_VARIANTS, isAvailable, open: (opening) => open(name, device(), opening) };
}

/** Transformers.js on WebGPU. */
const transformersWebgpu: EngineKind = kindOf('transformers-webgpu', () => 'webgpu', () => hasGpu() && !isNode());

/** Transformers.js on WebAssembly, in Node on ONNX Runtime's own library. */
const transformersCpu: EngineKind = kindOf('transformers-cpu', () => (isNode() ? 'cpu' : 'wasm'), () => 'WebAssembly' in globalThis);

/** Engines for `kinds`: nobody needs a second way to run ONNX unasked, and Transformers.js is not installed with this package. */
export const TRANSFORMERS: readonly EngineKind[] = [transformersWebgpu, transformersCpu];
