/** What only Node has: a bundle's folder, and the runtimes' files from `node_modules`. */

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';

import type { Assets } from './engines/engine.js';
import { ModelyardError } from './errors.js';
import { type BundleFiles, missing } from './files.js';

/** A bundle in a folder. */
export function fromFolder(folder: string): BundleFiles {
  return {
    name: folder,
    async read(name) {
      try {
        return new Uint8Array(await readFile(path.join(folder, name)));
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'ENOENT' || code === 'ENOTDIR') throw missing(folder, name);
        throw new ModelyardError('unavailable', path.join(folder, name), `cannot be read (${code ?? String(error)})`, 'check the folder', error);
      }
    },
  };
}

/** Where Node finds the WebAssembly files of TensorFlow.js; ONNX Runtime finds its own. */
export function nodeAssets(): Assets {
  const main = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm/package.json');
  return { tfjs: path.join(path.dirname(main), 'dist') + path.sep };
}
