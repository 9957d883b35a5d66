import type { CheckedFiles } from '../files.js';

/** One output of a network: its numbers, and their shape with the batch first. */
export interface Output {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

/**
 * A loaded network on one runtime.
 *
 * `run` may reject; it is never called again before it has settled, nor after `dispose`, which may be called twice.
 */
export interface Engine {
  /** As in {@link EngineKind.name}. */
  readonly name: string;
  /** `image`: uint8 RGB `[1, height, width, 3]` of any size. `tensor`: float32 in 0..1, resized and cropped. */
  readonly takes: 'image' | 'tensor';
  /**
   * What the first output is: a classifier's `probabilities` `[1, classes]`; a detector's `detections` `[1, rows, 6]`
   * in pixels of what it was given; or a detector's `raw` output, from which the boxes are decoded here.
   */
  readonly gives: 'probabilities' | 'detections' | 'raw';
  /** A batch of one image, row by row → the network's outputs. */
  run(input: Float32Array | Uint8Array, shape: readonly number[]): Promise<Output[]>;
  /** As `run`, for what the last dense layer is given: `[1, features]`. Absent where the runtime, or the network, has none. */
  features?(input: Float32Array | Uint8Array, shape: readonly number[]): Promise<Output>;
  dispose(): void;
}

/** What an engine is opened with. */
export interface Opening {
  readonly files: CheckedFiles;
  /** The variant's file (ONNX, LiteRT) or folder (TensorFlow.js) in the bundle. */
  readonly path: string;
  readonly task: 'classify' | 'detect';
  readonly assets: Assets;
}

/** Where the runtimes' own WebAssembly files are, as base URLs that end with a slash; in Node, folders. */
export interface Assets {
  /** `onnxruntime-web/dist/`. Left out: beside the script that was loaded. */
  readonly onnxruntime?: string;
  /** `@litertjs/core/wasm/`. Left out: beside the page. */
  readonly litert?: string;
  /** Transformers.js' own `node_modules/onnxruntime-web/dist/`, of the release that it was made for. Left out: beside the page. */
  readonly transformers?: string;
  /** `@tensorflow/tfjs-backend-wasm/dist/`, or each file's own address. Left out: beside the page. */
  readonly tfjs?: string | Readonly<Record<string, string>>;
}

/** A way to run a kind of variant. `open` imports its runtime, so that nobody loads one that is not used. */
export interface EngineKind {
  readonly name: string;
  /** The variants that it can run, by the names that `modelyard export` gives them, the best first. */
  readonly variants: readonly string[];
  /** Whether this browser, or Node, has what the engine runs on. Must return quickly and not throw. */
  isAvailable(): boolean;
  /** Rejects where the runtime or the network cannot be loaded; nothing is left behind then. */
  open(opening: Opening): Promise<Engine>;
}
