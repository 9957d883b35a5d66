import { beforeEach, describe, expect, it } from 'vitest';

import { cached, load, ModelyardError } from '../src/index.js';
import { kindOf, sealed, type World } from './world.js';

/** Cache Storage in memory, which can be full. */
class Storage {
  readonly shelves = new Map<string, Map<string, Uint8Array>>();
  isFull = false;

  async open(name: string): Promise<object> {
    const shelf = this.shelves.get(name) ?? new Map<string, Uint8Array>();
    this.shelves.set(name, shelf);
    return {
      match: async (key: string) => shelf.get(key) && new Response(shelf.get(key) as Uint8Array<ArrayBuffer>),
      put: async (key: string, response: Response) => {
        if (this.isFull) throw new DOMException('the quota is exceeded', 'QuotaExceededError');
        shelf.set(key, new Uint8Array(await response.arrayBuffer()));
      },
    };
  }

  async delete(name: string): Promise<boolean> {
    return this.shelves.delete(name);
  }
}

const engine = { kinds: [kindOf('a', [])], engines: ['a'] };
let storage: Storage;

beforeEach(() => {
  storage = new Storage();
});

function held(files: World): World {
  return cached(files, storage as unknown as CacheStorage) as World;
}

function gone(world: World): World {
  const error = new ModelyardError('unavailable', 'network', 'does not answer', 'try again');
  return { ...world, read: () => Promise.reject(error) };
}

describe('a bundle in Cache Storage', () => {
  it('is asked for once but for its index, and loads without a network', async () => {
    const world = await sealed();
    await load(held(world), engine);
    await load(held(world), engine);
    expect(world.reads.filter((path) => path !== 'bundle.json').sort()).toEqual(['labels.json', 'model.onnx', 'preprocess.json']);
    expect(world.reads.filter((path) => path === 'bundle.json')).toHaveLength(2);
    const offline = await load(held(gone(world)), engine);
    expect(offline.info.digest).toBe(world.digest);
  });

  it('says what is wrong where it was never loaded', async () => {
    await expect(load(held(gone(await sealed())), engine)).rejects.toMatchObject({ kind: 'unavailable' });
  });

  it('drops what is not what was sealed, and asks again', async () => {
    const world = await sealed();
    await load(held(world), engine);
    for (const shelf of storage.shelves.values()) for (const key of shelf.keys()) if (key.endsWith('model.onnx')) shelf.set(key, new Uint8Array([1]));
    await load(held(world), engine);
    expect(world.reads.filter((path) => path === 'model.onnx')).toHaveLength(2);
    await expect(load(held(gone(world)), engine)).resolves.toBeDefined();
  });

  it('never keeps what is not what was sealed', async () => {
    const world = await sealed();
    const whole = world.contents.get('model.onnx') as Uint8Array;
    world.contents.set('model.onnx', new Uint8Array([1]));
    await expect(load(held(world), engine)).rejects.toMatchObject({ kind: 'integrity' });
    world.contents.set('model.onnx', whole);
    await load(held(world), engine);
  });

  it('keeps one bundle for each address', async () => {
    const [first, second] = [await sealed(), await sealed({ 'card.md': 'another' })];
    await load(held(first), engine);
    await load(held(second), engine);
    const bundles = [...storage.shelves.keys()].filter((name) => name.startsWith('modelyard-bundle-'));
    expect(bundles).toEqual([`modelyard-bundle-${second.digest}`]);
  });

  it('costs nothing but itself where the storage is full, or there is none', async () => {
    const world = await sealed();
    storage.isFull = true;
    await load(held(world), engine);
    expect(cached(world, undefined)).toBe(world);
  });
});
