/** The page without a network: files with a digest in their name come from the cache, others from the network first. */

declare const __BUILD__: string;

interface Scope {
  readonly caches: CacheStorage;
  readonly location: Location;
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(kind: string, listener: (event: Event & Extended) => void): void;
}

interface Extended {
  readonly request: Request;
  readonly data: { readonly loaded?: readonly string[] };
  respondWith(response: Promise<Response>): void;
  waitUntil(work: Promise<unknown>): void;
}

const scope = self as unknown as Scope;
const OURS = 'modelyard-page-';
const CACHE = `${OURS}${__BUILD__}`;
const ROOT = new URL('./', scope.location.href).href;

scope.addEventListener('install', (event) => event.waitUntil(scope.skipWaiting()));

scope.addEventListener('activate', (event) => event.waitUntil(begin()));

scope.addEventListener('message', (event) => event.waitUntil(keepAll(event.data.loaded ?? [])));

scope.addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method !== 'GET' || !isOurs(request.url)) return;
  event.respondWith(request.url.startsWith(`${ROOT}assets/`) ? cacheFirst(request) : networkFirst(request));
});

/** The page's own files. The model's are kept by the package, by their digests. */
function isOurs(address: string): boolean {
  return address.startsWith(ROOT) && (!address.startsWith(`${ROOT}model/`) || /[/](about[.]json|card[.]md)$/.test(address));
}

async function begin(): Promise<void> {
  const names = await scope.caches.keys();
  await Promise.all(names.filter((name) => name.startsWith(OURS) && name !== CACHE).map((name) => scope.caches.delete(name)));
  await scope.clients.claim();
}

/** What was loaded before this worker answered for the page. */
async function keepAll(addresses: readonly string[]): Promise<void> {
  const cache = await scope.caches.open(CACHE);
  const ours = [...addresses, `${ROOT}icon.svg`, `${ROOT}manifest.webmanifest`].filter(isOurs);
  await Promise.all(ours.map(async (address) => (await cache.match(address)) ?? cache.add(address).catch(() => undefined)));
}

async function cacheFirst(request: Request): Promise<Response> {
  const cache = await scope.caches.open(CACHE);
  return (await cache.match(request)) ?? keep(cache, request, await fetch(request));
}

async function networkFirst(request: Request): Promise<Response> {
  const cache = await scope.caches.open(CACHE);
  try {
    return await keep(cache, request, await fetch(request));
  } catch (error) {
    const held = await cache.match(request, { ignoreSearch: request.mode === 'navigate' });
    if (held) return held;
    throw error;
  }
}

async function keep(cache: Cache, request: Request, response: Response): Promise<Response> {
  // A full storage costs the time without a network, and not the page.
  if (response.ok) await cache.put(request, response.clone()).catch(() => undefined);
  return response;
}
