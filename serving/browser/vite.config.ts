import { defineConfig } from 'vitest/config';

// One file for pages without a bundler. The runtimes stay outside: a page loads the one that it uses, from its own server.
export default defineConfig({
  build: {
    lib: { entry: 'src/index.ts', formats: ['es'], fileName: 'modelyard' },
    outDir: 'build',
    target: 'es2022',
    minify: true,
    rollupOptions: { external: [/^onnxruntime-web/, /^@tensorflow\//, /^@litertjs\//, /^@huggingface\//] },
  },
  test: { include: ['test/**/*.test.ts'], environment: 'node' },
});
