import type { CompiledModel, LiteRt, Tensor } from '@litertjs/core';

import type { Engine, EngineKind, Opening, Output } from './engine.js';
import { hasGpu, needGpu } from './onnx.js';

type Runtime = typeof import('@litertjs/core');
type Accelerator = 'webgpu' | 'wasm';

const VARIANTS = ['litert-float16', 'litert-float32', 'litert-int8'];

/** LiteRT.js is one per page, and may have been loaded by the page itself. */
async function started(runtime: Runtime, assets: string | undefined): Promise<LiteRt> {
  const { crossOriginIsolated } = globalThis as { crossOriginIsolated?: boolean };
  return runtime.getGlobalLiteRtPromise() ?? runtime.loadLiteRt(assets ?? './', { threads: crossOriginIsolated === true });
}

async function compiled(runtime: Runtime, data: Uint8Array, accelerator: Accelerator): Promise<CompiledModel> {
  // Half precision, which is the default on a GPU, would be another model than the one that was measured.
  const model = await runtime.loadAndCompile(data, { accelerator, gpuOptions: { precision: 'fp32' } });
  if (accelerator === 'wasm' || model.isFullyAccelerated) return model;
  model.delete();
  throw new Error('the network has operators that LiteRT.js does not run on WebGPU');
}

async function open(name: string, accelerator: Accelerator, { files, path, task, assets }: Opening): Promise<Engine> {
  if (accelerator === 'webgpu') await needGpu();
  const runtime = await import('@litertjs/core');
  await started(runtime, assets.litert);
  const model = await compiled(runtime, await files.read(path), accelerator);
  const shapes = model.getOutputDetails().map(({ shape }) => [...shape]);
  let open = true;
  return {
    name,
    takes: 'tensor',
    gives: task === 'detect' ? 'raw' : 'probabilities',
    async run(input, shape) {
      const tensor = new runtime.Tensor(Float32Array.from(input), [...shape]);
      const outputs: Tensor[] = [];
      try {
        outputs.push(...(await model.run([tensor])));
        return await Promise.all(outputs.map((output, index) => outputOf(output, shapes[index] ?? [])));
      } finally {
        for (const each of [tensor, ...outputs]) each.delete();
      }
    },
    dispose() {
      if (open) model.delete();
      open = false;
    },
  };
}

async function outputOf(tensor: Tensor, shape: readonly number[]): Promise<Output> {
  return { data: Float32Array.from(await tensor.data()), shape };
}

/** LiteRT.js starts its WebAssembly by a script element, which neither Node nor a module worker has. */
function isPage(): boolean {
  return 'document' in globalThis && 'WebAssembly' in globalThis;
}

function kindOf(accelerator: Accelerator, isAvailable: () => boolean): EngineKind {
  const name = `litert-${accelerator}`;
  return { name, variants: VARIANTS, isAvailable, open: (opening) => open(name, accelerator, opening) };
}

/** LiteRT.js on WebGPU. */
export const litertWebgpu: EngineKind = kindOf('webgpu', () => isPage() && hasGpu());

/** LiteRT.js on WebAssembly (XNNPACK), with threads where the page is cross-origin isolated. */
export const litertWasm: EngineKind = kindOf('wasm', isPage);
