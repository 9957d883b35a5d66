import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { defineConfig } from 'vite';

const PAGE = import.meta.dirname;

/** A digest of what the page is made of: the service worker keeps each build in a cache of its own. */
function build(): string {
  const hash = createHash('sha256');
  for (const folder of [PAGE, path.join(PAGE, '..', 'src')]) {
    const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => /\.(ts|html|css|svg)$/.test(name) && !name.startsWith('build'));
    for (const name of names.sort()) hash.update(name).update(readFileSync(path.join(folder, name)));
  }
  return hash.update(readFileSync(path.join(PAGE, '..', 'package-lock.json'))).digest('hex').slice(0, 12);
}

// The page with its engines, for any web server: every address in it is relative.
export default defineConfig({
  root: PAGE,
  base: './',
  define: { __BUILD__: JSON.stringify(build()) },
  worker: { format: 'es' },
  build: {
    outDir: 'build',
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: false,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 4000,
    rollupOptions: {
      input: { main: path.join(PAGE, 'index.html'), sw: path.join(PAGE, 'sw.ts') },
      // A service worker answers for what lies below it, and is known by its name.
      output: { entryFileNames: ({ name }) => (name === 'sw' ? 'sw.js' : 'assets/[name]-[hash].js') },
    },
  },
});
