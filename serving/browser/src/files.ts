import { sha256 } from './digest.js';
import { ModelyardError } from './errors.js';

/** Where a bundle's files come from: a folder, a server, a cache, a ZIP. */
export interface BundleFiles {
  /** For messages: the address or the folder. */
  readonly name: string;
  /** A file's bytes by its path in the bundle. Throws ModelyardError `not-found` or `unavailable`. */
  read(path: string): Promise<Uint8Array>;
}

/** A bundle below a base URL, by `fetch`. A relative URL counts from the page. */
export function fromUrl(base: string | URL, init?: RequestInit): BundleFiles {
  const name = String(base);
  return {
    name,
    async read(path) {
      const address = addressOf(name, path);
      const response = await fetch(address, init).catch((error: unknown) => {
        // A browser does not tell a page why: a server that allows no other origin looks like one that does not answer.
        const [what, remedy] = isForeign(address)
          ? ['does not answer, or does not allow pages of another origin', "serve the bundle from the page's origin, or let its server allow this one (CORS)"]
          : ['does not answer', 'check the network and the address, and try again'];
        throw new ModelyardError('unavailable', address, what as string, remedy as string, error);
      });
      if (response.status === 404) throw missing(name, path);
      if (!response.ok) {
        throw new ModelyardError('unavailable', address, `answers with status ${response.status}`, 'try again later, or check the address');
      }
      return new Uint8Array(
        await response.arrayBuffer().catch((error: unknown) => {
          throw new ModelyardError('unavailable', address, 'was cut off', 'check the network, and try again', error);
        }),
      );
    },
  };
}

function isForeign(address: string): boolean {
  const origin = (globalThis as { location?: { origin?: string } }).location?.origin;
  return origin !== undefined && new URL(address).origin !== origin;
}

function addressOf(base: string, path: string): string {
  const page = (globalThis as { location?: { href?: string } }).location?.href;
  const relative = path.split('/').map(encodeURIComponent).join('/');
  try {
    return new URL(relative, new URL(base.endsWith('/') ? base : `${base}/`, page)).href;
  } catch (error) {
    throw new ModelyardError('input', base, 'is not an address', 'give the URL of a bundle', error);
  }
}

/** The error for a file that should be there. */
export function missing(bundle: string, path: string): ModelyardError {
  return new ModelyardError('not-found', `${path} in ${bundle}`, 'is not there', 'publish the whole bundle');
}

/** A bundle's files whose bytes are compared with the index before anybody sees them. Each is fetched once. */
export class CheckedFiles {
  readonly name: string;
  readonly #files: BundleFiles;
  readonly #digests: ReadonlyMap<string, string>;
  readonly #held = new Map<string, Promise<Uint8Array>>();

  constructor(files: BundleFiles, digests: ReadonlyMap<string, string>) {
    this.name = files.name;
    this.#files = files;
    this.#digests = digests;
  }

  /** Whether the index names a file. */
  has(path: string): boolean {
    return this.#digests.has(path);
  }

  /** A file's bytes. Throws ModelyardError: `not-found`, `unavailable`, or `integrity` for other bytes than were sealed. */
  read(path: string): Promise<Uint8Array> {
    const held = this.#held.get(path) ?? this.#check(path);
    this.#held.set(path, held);
    return held;
  }

  async #check(path: string): Promise<Uint8Array> {
    const expected = this.#digests.get(path);
    if (expected === undefined) throw missing(this.name, path);
    const data = await this.#files.read(path);
    if ((await sha256(data)) !== expected) {
      const what = 'is not the file that the bundle was sealed with';
      throw new ModelyardError('integrity', `${path} in ${this.name}`, what, 'publish the bundle again');
    }
    return data;
  }

  /** Forget the bytes: a loaded model has its own copy. */
  release(): void {
    this.#held.clear();
  }
}
