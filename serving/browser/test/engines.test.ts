import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { build } from 'vite';
import { describe, expect, it } from 'vitest';

import { candidates, ENGINES, pathOf } from '../src/engines/kinds.js';

const files = (...paths: string[]) => (path: string): boolean => paths.includes(path);
const everywhere = ENGINES.map((kind) => ({ ...kind, isAvailable: () => true }));
const ANY = { engines: [], variants: [] };

function namesOf(...given: Parameters<typeof candidates>): string[] {
  return candidates(...given).map(({ kind, variant }) => `${kind.name} ${variant}`);
}

describe('the order of engines', () => {
  it('is by capability, and of each the best variant that the bundle has', () => {
    const has = files('model.onnx', 'model.tensor.onnx', 'tfjs/float16/model.json', 'litert/float16.tflite');
    const [gpu, wasm, tf] = [['onnx-tensor', 'onnx'], ['onnx-tensor', 'onnx'], ['tfjs-float16']];
    expect(namesOf(everywhere, ANY, has)).toEqual([
      ...gpu.map((variant) => `onnx-webgpu ${variant}`),
      'litert-webgpu litert-float16',
      ...tf.map((variant) => `tfjs-webgpu ${variant}`),
      ...wasm.map((variant) => `onnx-wasm ${variant}`),
      'litert-wasm litert-float16',
      ...tf.map((variant) => `tfjs-webgl ${variant}`),
      ...tf.map((variant) => `tfjs-wasm ${variant}`),
    ]);
  });

  it('is that of the caller where given, of engines as of variants', () => {
    const has = files('model.onnx', 'model.int8.onnx', 'tfjs/uint8/model.json');
    const wish = { engines: ['tfjs-wasm', 'onnx-wasm'], variants: ['onnx-int8', 'onnx', 'tfjs-uint8'] };
    expect(namesOf(everywhere, wish, has)).toEqual(['tfjs-wasm tfjs-uint8', 'onnx-wasm onnx-int8', 'onnx-wasm onnx']);
  });

  it('leaves out what there is no hardware for', () => {
    const has = files('model.onnx', 'litert/float32.tflite');
    expect(namesOf(ENGINES, ANY, has)).toEqual(['onnx-wasm onnx']); // Node has no WebGPU, no WebGL and no page for LiteRT.js
  });

  it.each([
    ['onnx', 'model.onnx'],
    ['onnx-tensor', 'model.tensor.onnx'],
    ['onnx-float16', 'model.float16.onnx'],
    ['tfjs-uint8', 'tfjs/uint8'],
    ['litert-int8', 'litert/int8.tflite'],
  ])('%s lies at %s', (variant, path) => {
    expect(pathOf(variant)).toBe(path);
  });
});

describe('the file for pages without a bundler', () => {
  it('is below 30 kB gzip without engines, which it imports on demand', async () => {
    const built = await build({ root: fileURLToPath(new URL('..', import.meta.url)), logLevel: 'silent', build: { write: false } });
    const [result] = [built].flat();
    if (!result || !('output' in result)) throw new Error('vite built nothing');
    const [entry, ...others] = result.output;
    expect(others).toEqual([]);
    expect(gzipSync(entry.code).length).toBeLessThan(30_000);
    expect(entry.imports).toEqual([]);
    expect(entry.dynamicImports.sort()).toEqual([
      '@huggingface/transformers',
      '@litertjs/core',
      '@tensorflow/tfjs-backend-cpu',
      '@tensorflow/tfjs-backend-wasm',
      '@tensorflow/tfjs-backend-webgl',
      '@tensorflow/tfjs-backend-webgpu',
      '@tensorflow/tfjs-converter',
      '@tensorflow/tfjs-core',
      'onnxruntime-web/wasm',
      'onnxruntime-web/webgpu',
    ]);
    console.log(`modelyard.js: ${gzipSync(entry.code).length} bytes gzip`);
  });
});
