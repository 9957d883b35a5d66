import plain from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm?url';
import simd from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm?url';

import type { Assets } from '../src/engines/engine.js';

const absolute = (address: string): string => new URL(address, location.href).href;

/** Where this page has TensorFlow.js' WebAssembly files. ONNX Runtime's are found beside its own script. */
export const ASSETS: Assets = {
  tfjs: {
    'tfjs-backend-wasm.wasm': absolute(plain),
    'tfjs-backend-wasm-simd.wasm': absolute(simd),
    'tfjs-backend-wasm-threaded-simd.wasm': absolute(simd), // is asked for by name, and never loaded: see engines/tfjs.ts
  },
};
