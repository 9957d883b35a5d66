import { ModelyardError } from '../errors.js';
import type { Progress } from '../opener.js';
import type { Source } from '../pixels.js';
import type { Features, Info, Prediction } from '../predictor.js';
import type { Sample, Taught, TeachOptions, Tick } from '../teach/head.js';
import { type Calls, type Memory, received, type Reply, type WorkerOptions } from './messages.js';

/** How to load a bundle in a worker. */
export interface RemoteOptions extends WorkerOptions {
  /** Where a bundle's `.smoke` folder is served: images with the trained model's answers, by which engines are checked. */
  readonly checkFrom?: string | URL;
  readonly onProgress?: (progress: Progress) => void;
  readonly onEngine?: (info: Info) => void;
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: unknown): void;
  onTick: ((tick: Tick) => void) | undefined;
}

/**
 * Load a bundle in a worker whose script calls `serve(self)`, so that no answer holds up the page.
 *
 * Rejects as `load` does, and with `unavailable` where the worker's script cannot be loaded. `source` counts from the page.
 */
export async function loadInWorker(worker: Worker, source: string | URL, options: RemoteOptions = {}): Promise<WorkerPredictor> {
  const predictor = new WorkerPredictor(worker, options.onEngine, options.onProgress);
  const { onProgress: _progress, onEngine: _engine, checkFrom, ...plain } = options;
  await predictor.load(absolute(source), plain, checkFrom === undefined ? undefined : absolute(checkFrom));
  return predictor;
}

function absolute(address: string | URL): string {
  return new URL(address, globalThis.location.href).href;
}

/** As `Predictor`, in a worker. Made by `loadInWorker`. */
export class WorkerPredictor {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  readonly #onEngine: ((info: Info) => void) | undefined;
  readonly #onProgress: ((progress: Progress) => void) | undefined;
  #info: Info | undefined;
  #calls = 0;
  #ended: ModelyardError | undefined;

  /** Use `loadInWorker`. */
  constructor(worker: Worker, onEngine?: (info: Info) => void, onProgress?: (progress: Progress) => void) {
    this.#worker = worker;
    this.#onEngine = onEngine;
    this.#onProgress = onProgress;
    worker.onmessage = ({ data }: MessageEvent<Reply>) => this.#receive(data);
    worker.onerror = (event) => this.#fail(event.message || 'its script cannot be loaded');
    worker.onmessageerror = () => this.#fail('a message cannot be read');
  }

  /** What is loaded, and on what it runs now. */
  get info(): Info {
    if (!this.#info) throw new ModelyardError('input', 'worker', 'has no bundle', 'load one first');
    return this.#info;
  }

  /** Load another bundle, or the same with other options, in place of the one that is loaded. */
  async load(source: string, options: WorkerOptions, check?: string): Promise<Info> {
    this.#info = await this.#call('load', { source, options, check });
    return this.#info;
  }

  /** One image's answer. Bitmaps and frames are handed over, and are closed then. */
  predict(source: Source): Promise<Prediction> {
    return this.#call('predict', { source }, transferable(source));
  }

  /** What the network's last layer is given for an image: see `Predictor.features`. */
  features(source: Source): Promise<Features> {
    return this.#call('features', { source }, transferable(source));
  }

  /** Train a new last layer on features: see `teach`. */
  teach(samples: readonly Sample[], { onTick, ...options }: TeachOptions): Promise<Taught> {
    return this.#call('teach', { samples, options }, [], onTick);
  }

  /** The names of the engines that this browser has what it takes for. */
  engines(): Promise<readonly string[]> {
    return this.#call('engines', {});
  }

  /** What the engine holds, for a test of leaks. */
  memory(): Promise<Memory> {
    return this.#call('memory', {});
  }

  /** Free the engine's memory and end the worker. Calls that wait are rejected. */
  terminate(): void {
    this.#worker.terminate();
    this.#fail('was ended');
  }

  #call<Name extends keyof Calls>(call: Name, given: Calls[Name]['given'], transfer: Transferable[] = [], onTick?: (tick: Tick) => void): Promise<Calls[Name]['gives']> {
    if (this.#ended) return Promise.reject(this.#ended);
    this.#calls += 1;
    const id = this.#calls;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject, onTick });
      this.#worker.postMessage({ id, call, given }, transfer);
    });
  }

  #receive(reply: Reply): void {
    if ('progress' in reply) return this.#onProgress?.(reply.progress);
    if ('engine' in reply) {
      this.#info = reply.engine;
      return this.#onEngine?.(reply.engine);
    }
    const waiting = this.#waiting.get(reply.id);
    if ('tick' in reply) return waiting?.onTick?.(reply.tick);
    this.#waiting.delete(reply.id);
    if ('error' in reply) waiting?.reject(received(reply.error));
    else waiting?.resolve(reply.value);
  }

  #fail(why: string): void {
    this.#ended = new ModelyardError('unavailable', 'worker', `does not run (${why})`, 'load the page again');
    for (const { reject } of this.#waiting.values()) reject(this.#ended);
    this.#waiting.clear();
  }
}

/** What is handed over and not copied. A file is read where it is wanted; an image's pixels stay the caller's. */
function transferable(source: Source): Transferable[] {
  return 'close' in source ? [source as ImageBitmap | VideoFrame] : [];
}
