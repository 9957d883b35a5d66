import { ModelyardError } from '../errors.js';
import type { EngineKind } from '../engines/engine.js';
import { ENGINES } from '../engines/kinds.js';
import { unwrap } from '../engines/tfjs.js';
import { fromUrl } from '../files.js';
import { load } from '../load.js';
import { imageOf, type Source } from '../pixels.js';
import type { Predictor } from '../predictor.js';
import { smokeCheck } from '../smoke.js';
import { teach } from '../teach/head.js';
import { type Call, type Calls, type Memory, type Reply, sent } from './messages.js';

/** What a worker's script may add: engines of its own. */
export interface ServeOptions {
  readonly kinds?: readonly EngineKind[];
}

/** The part of a worker's global scope that is used. */
export interface Scope {
  postMessage(message: Reply): void;
  onmessage: ((event: MessageEvent<Call>) => void) | null;
}

/**
 * A worker's whole script: `serve(self)`. It answers the calls of `loadInWorker`, one bundle for each worker.
 *
 * A bitmap or a video's frame that it is sent is closed once it was answered.
 */
export function serve(scope: Scope, options: ServeOptions = {}): void {
  const worker = new Served(scope, options);
  scope.onmessage = ({ data }) => void worker.answer(data);
}

class Served {
  readonly #scope: Scope;
  readonly #kinds: readonly EngineKind[];
  #predictor: Predictor | undefined;
  #answers = 0;

  constructor(scope: Scope, { kinds = [] }: ServeOptions) {
    this.#scope = scope;
    this.#kinds = kinds;
  }

  async answer(call: Call): Promise<void> {
    try {
      const value = await this.#do(call);
      this.#scope.postMessage({ id: call.id, value });
    } catch (error) {
      this.#scope.postMessage({ id: call.id, error: sent(error) });
    }
  }

  async #do({ id, call, given }: Call): Promise<unknown> {
    switch (call) {
      case 'load':
        return this.#load(given);
      case 'predict':
        this.#answers += 1;
        return this.#with(given.source, (predictor, image) => predictor.predict(image));
      case 'features':
        return this.#with(given.source, (predictor, image) => predictor.features(image));
      case 'teach':
        return teach(given.samples, { ...given.options, onTick: (tick) => this.#scope.postMessage({ id, tick }) });
      case 'memory':
        return this.#memory();
      case 'engines':
        return ENGINES.filter((kind) => kind.isAvailable()).map(({ name }) => name);
      case 'dispose':
        await this.#predictor?.dispose();
        this.#predictor = undefined;
        return undefined;
    }
  }

  async #load({ source, options, check }: Calls['load']['given']): Promise<unknown> {
    await this.#predictor?.dispose();
    this.#predictor = undefined;
    const images = check === undefined ? {} : { check: await smokeCheck(fromUrl(check), imageOf) };
    this.#predictor = await load(source, {
      ...options,
      ...images,
      kinds: this.#kinds,
      onProgress: (progress) => this.#scope.postMessage({ progress }),
      onEngine: (engine) => this.#scope.postMessage({ engine }),
    });
    return this.#predictor.info;
  }

  async #with<T>(source: Source, ask: (predictor: Predictor, image: Awaited<ReturnType<typeof imageOf>>) => Promise<T>): Promise<T> {
    try {
      if (!this.#predictor) throw new ModelyardError('input', 'worker', 'has no bundle', 'load one first');
      return await ask(this.#predictor, await imageOf(source));
    } finally {
      if ('close' in source) source.close();
    }
  }

  async #memory(): Promise<Memory> {
    const engine = this.#predictor?.info.engine ?? '';
    if (!engine.startsWith('tfjs')) return { tensors: undefined, answers: this.#answers };
    const tf = unwrap(await import('@tensorflow/tfjs-core'));
    return { tensors: tf.memory().numTensors, answers: this.#answers };
  }
}
