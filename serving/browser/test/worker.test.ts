import { afterEach, describe, expect, it } from 'vitest';

import { loadInWorker, ModelyardError, serve, WorkerPredictor } from '../src/index.js';
import type { EngineKind } from '../src/index.js';
import type { Call, Reply } from '../src/worker/messages.js';
import { coloured, kindOf, sealed, type World } from './world.js';

const BASE = 'http://models.test/';

/** A worker in this thread: what is sent is copied as between threads. */
class Thread {
  onmessage: ((event: { data: Reply }) => void) | null = null;
  onerror: ((event: { message: string }) => void) | null = null;
  onmessageerror: (() => void) | null = null;
  readonly #scope: { onmessage: ((event: MessageEvent<Call>) => void) | null; postMessage(reply: Reply): void };

  constructor(kinds: readonly EngineKind[]) {
    this.#scope = { onmessage: null, postMessage: (reply) => queueMicrotask(() => this.onmessage?.({ data: structuredClone(reply) })) };
    serve(this.#scope, { kinds });
  }

  postMessage(call: Call): void {
    const data = structuredClone(call);
    queueMicrotask(() => this.#scope.onmessage?.({ data } as MessageEvent<Call>));
  }

  terminate(): void {
    this.#scope.onmessage = null;
  }
}

const real = { fetch: globalThis.fetch, location: globalThis.location };

function published(world: World): void {
  globalThis.fetch = ((address: string) => {
    const data = world.contents.get(decodeURIComponent(address.replace(`${BASE}bundle/`, '')));
    return Promise.resolve(data ? new Response(data as Uint8Array<ArrayBuffer>) : new Response(null, { status: 404 }));
  }) as typeof fetch;
  Object.defineProperty(globalThis, 'location', { value: new URL(BASE), configurable: true });
}

afterEach(() => {
  globalThis.fetch = real.fetch;
  Object.defineProperty(globalThis, 'location', { value: real.location, configurable: true });
});

/** Answers twice, and fails then, as a lost GPU does. */
function dying(): EngineKind {
  const whole = kindOf('dying', []);
  let answers = 0;
  return {
    ...whole,
    async open(opening) {
      const engine = await whole.open(opening);
      return { ...engine, run: (input, shape) => ((answers += 1) > 2 ? Promise.reject(new Error('the device was lost')) : engine.run(input, shape)) };
    },
  };
}

describe('a bundle in a worker', () => {
  it('answers as in the page, and says what it does', async () => {
    published(await sealed());
    const steps: string[] = [];
    const predictor = await loadInWorker(new Thread([kindOf('a', [])]) as unknown as Worker, 'bundle/', { engines: ['a'], onProgress: ({ step }) => void steps.push(step) });
    expect(predictor.info).toMatchObject({ model: 'colours', engine: 'a', canTeach: false });
    expect(await predictor.predict(coloured(10, 200, 10))).toMatchObject({ label: 'green' });
    expect(steps).toEqual(['reading', 'starting']);
    expect(await predictor.memory()).toEqual({ tensors: undefined, answers: 1 });
  });

  it('goes on with the next engine where one fails, with the same image, and says so', async () => {
    published(await sealed());
    const engines: string[] = [];
    const kinds = [dying(), kindOf('b', [])];
    const predictor = await loadInWorker(new Thread(kinds) as unknown as Worker, 'bundle/', { engines: ['dying', 'b'], onEngine: ({ engine }) => void engines.push(engine) });
    expect(predictor.info.engine).toBe('dying');
    for (let turn = 0; turn < 4; turn += 1) expect(await predictor.predict(coloured(10, 10, 200))).toMatchObject({ label: 'blue' });
    expect(engines).toEqual(['b']);
    expect(predictor.info).toMatchObject({ engine: 'b', refused: ['dying failed (the device was lost)'] });
  });

  it('is refused, with each reason, where no engine is left', async () => {
    published(await sealed());
    const predictor = await loadInWorker(new Thread([dying()]) as unknown as Worker, 'bundle/', { engines: ['dying'] });
    await predictor.predict(coloured(10, 10, 200));
    for (let turn = 0; turn < 2; turn += 1) {
      const error: unknown = await predictor.predict(coloured(10, 10, 200)).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(ModelyardError);
      expect(String(error)).toMatch(turn ? /disposed|no engine is left/ : /no engine is left: dying failed \(the device was lost\)/);
    }
  });

  it('brings its errors along whole', async () => {
    const world = await sealed();
    world.contents.set('model.onnx', new Uint8Array([1]));
    published(world);
    const error: unknown = await loadInWorker(new Thread([kindOf('a', [])]) as unknown as Worker, 'bundle/', { engines: ['a'] }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ModelyardError);
    expect(error).toMatchObject({ kind: 'integrity', subject: expect.stringContaining('model.onnx') as string });
  });

  it('rejects what waits when it is ended, or its script cannot be loaded', async () => {
    published(await sealed());
    const predictor = await loadInWorker(new Thread([kindOf('a', [])]) as unknown as Worker, 'bundle/', { engines: ['a'] });
    const waiting = predictor.predict(coloured(1, 2, 3));
    predictor.terminate();
    await expect(waiting).rejects.toMatchObject({ kind: 'unavailable', subject: 'worker' });
    await expect(predictor.predict(coloured(1, 2, 3))).rejects.toMatchObject({ kind: 'unavailable', subject: 'worker' });
    const thread = new Thread([]);
    const other = new WorkerPredictor(thread as unknown as Worker);
    const never = other.predict(coloured(1, 2, 3));
    thread.terminate();
    thread.onerror?.({ message: '' });
    await expect(never).rejects.toMatchObject({ kind: 'unavailable' });
  });
});
