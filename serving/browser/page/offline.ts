const PATIENCE_MS = 3000;

/**
 * Register the service worker that keeps the page for the time without a network; resolves when it answers for this page,
 * so that the engine's files go through it. Without one (a private window, plain http) the page works, and needs the network.
 */
export async function prepareOffline(): Promise<void> {
  const { serviceWorker } = navigator;
  if (!serviceWorker) return;
  try {
    await serviceWorker.register(new URL('sw.js', location.href), { type: 'module' });
    const { active } = await Promise.race([serviceWorker.ready, late()]);
    if (!serviceWorker.controller) await Promise.race([new Promise((done) => serviceWorker.addEventListener('controllerchange', done, { once: true })), late()]);
    const loaded = performance.getEntriesByType('resource').map(({ name }) => name);
    active?.postMessage({ loaded: [location.href, ...loaded] });
  } catch {
    // The page works without it.
  }
}

function late(): Promise<never> {
  return new Promise((_, reject) => setTimeout(() => reject(new Error('no service worker in time')), PATIENCE_MS));
}
