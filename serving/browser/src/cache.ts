import { digestOf, sha256 } from './digest.js';
import { ModelyardError } from './errors.js';
import type { BundleFiles } from './files.js';

/** Cache Storage takes addresses only. This one is never asked: names under `.invalid` lead nowhere. */
const KEYS = 'https://bundle.modelyard.invalid/';
const INDEX = 'bundle.json';
const SHELF = 'modelyard-bundle-';
const LATEST = 'modelyard-bundles';

/**
 * The same files, kept in the browser's Cache Storage: a cache for each bundle, named by the bundle's digest.
 *
 * `bundle.json` is asked for each time, so that a new version is seen; without a network the last one serves. The other files are asked
 * for once. What lies in the cache is compared with its SHA-256 as what comes from the network is; bytes that are not the sealed
 * ones are dropped and asked for again. A full or forbidden storage costs the cache and nothing else. When a bundle is loaded
 * from an address whose last bundle was another one, that one's cache is deleted.
 */
export function cached(files: BundleFiles, storage: CacheStorage | undefined = globalThis.caches): BundleFiles {
  return storage ? new CachedFiles(files, storage) : files;
}

class CachedFiles implements BundleFiles {
  readonly name: string;
  readonly #files: BundleFiles;
  readonly #storage: CacheStorage;
  #shelf = '';
  #digests: ReadonlyMap<string, string> = new Map();

  constructor(files: BundleFiles, storage: CacheStorage) {
    this.name = files.name;
    this.#files = files;
    this.#storage = storage;
  }

  async read(path: string): Promise<Uint8Array> {
    if (path === INDEX) return this.#index();
    const [key, expected] = [keyOf(path), this.#digests.get(path)];
    const held = expected === undefined ? undefined : await this.#get(this.#shelf, key);
    if (held && (await sha256(held)) === expected) return held;
    const data = await this.#files.read(path);
    if (expected !== undefined && (await sha256(data)) === expected) await this.#put(this.#shelf, key, data);
    return data;
  }

  async #index(): Promise<Uint8Array> {
    const data = await this.#files.read(INDEX).catch(async (error: unknown) => {
      const held = error instanceof ModelyardError && error.kind === 'unavailable' ? await this.#lastIndex() : undefined;
      if (held) return held;
      throw error;
    });
    const manifest = manifestIn(data);
    if (!manifest) return data; // whoever opens the bundle says what is wrong with it
    this.#digests = new Map(Object.entries(manifest));
    this.#shelf = SHELF + (await digestOf(manifest));
    await this.#replace();
    await this.#put(this.#shelf, keyOf(INDEX), data);
    return data;
  }

  async #lastIndex(): Promise<Uint8Array | undefined> {
    const latest = await this.#get(LATEST, keyOf(this.name));
    return latest && this.#get(new TextDecoder().decode(latest), keyOf(INDEX));
  }

  /** Note which bundle this address has now, and drop the one that it had before. */
  async #replace(): Promise<void> {
    const before = await this.#get(LATEST, keyOf(this.name));
    const shelf = before && new TextDecoder().decode(before);
    if (shelf === this.#shelf) return;
    if (shelf) await this.#storage.delete(shelf).catch(() => false);
    await this.#put(LATEST, keyOf(this.name), new TextEncoder().encode(this.#shelf));
  }

  async #get(shelf: string, key: string): Promise<Uint8Array | undefined> {
    try {
      const response = await (await this.#storage.open(shelf)).match(key);
      return response && new Uint8Array(await response.arrayBuffer());
    } catch {
      return undefined; // forbidden, as in some private windows: the network has it
    }
  }

  async #put(shelf: string, key: string, data: Uint8Array): Promise<void> {
    try {
      await (await this.#storage.open(shelf)).put(key, new Response(data as Uint8Array<ArrayBuffer>));
    } catch {
      // The storage is full, or forbidden: the page works, and asks again the next time.
    }
  }
}

function keyOf(path: string): string {
  return KEYS + encodeURIComponent(path);
}

function manifestIn(data: Uint8Array): Record<string, string> | undefined {
  try {
    const { files } = JSON.parse(new TextDecoder().decode(data)) as { files?: unknown };
    const isManifest = typeof files === 'object' && files !== null && Object.values(files).every((value) => typeof value === 'string');
    return isManifest ? (files as Record<string, string>) : undefined;
  } catch {
    return undefined;
  }
}
