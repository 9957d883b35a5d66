import { ModelyardError } from '../src/errors.js';

/** One recorded image, as it is kept in this browser. */
export interface Kept {
  readonly image: Blob;
  readonly features: Float32Array;
  readonly label: string;
  readonly take: string;
}

const STORE = 'samples';

/** What was recorded for one bundle, in IndexedDB. Where that is forbidden or full, it is kept until the page is closed. */
export class SampleStore {
  readonly #database: Promise<IDBDatabase>;

  /** `bundle`: features of another bundle mean something else. */
  constructor(bundle: string) {
    this.#database = opened(`modelyard-taught-${bundle.slice(0, 16)}`);
    this.#database.catch(() => undefined);
  }

  /** Everything, in the order in which it was recorded. */
  async all(): Promise<Kept[]> {
    return this.#ask<Kept[]>('readonly', (store) => store.getAll() as IDBRequest<Kept[]>);
  }

  /** Keep one more. Rejects with ModelyardError `unavailable` where the browser's storage is full. */
  async add(sample: Kept): Promise<void> {
    await this.#ask('readwrite', (store) => store.add(sample));
  }

  /** Forget everything. */
  async clear(): Promise<void> {
    await this.#ask('readwrite', (store) => store.clear());
  }

  /** Forget one class. */
  async remove(label: string): Promise<void> {
    const [samples, database] = [await this.all(), await this.#database];
    const transaction = database.transaction(STORE, 'readwrite');
    transaction.objectStore(STORE).clear();
    for (const sample of samples) if (sample.label !== label) transaction.objectStore(STORE).add(sample);
    await done(transaction);
  }

  async #ask<T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
    const transaction = (await this.#database).transaction(STORE, mode);
    const request = work(transaction.objectStore(STORE));
    await done(transaction);
    return request.result;
  }
}

function done(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(full(transaction.error));
  });
}

function opened(name: string): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { autoIncrement: true });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(full(request.error));
  });
}

function full(error: DOMException | null): ModelyardError {
  const isFull = error?.name === 'QuotaExceededError';
  const what = isFull ? 'is full: what is recorded from now on is lost when the page is closed' : 'is not offered here: what is recorded is lost when the page is closed';
  return new ModelyardError('unavailable', "The browser's storage", what, isFull ? 'export what you have, and delete it' : 'export before you close the page', error);
}
