import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { ModelyardError } from '../src/errors.js';
import { fromUrl } from '../src/files.js';
import { load } from '../src/load.js';
import { coloured, kindOf, sealed, type World } from './world.js';

let server: Server;
let world: World;
let base: string;

beforeAll(async () => {
  world = await sealed({ 'a b%c.bin': 'odd' });
  server = createServer((request, response) => {
    const path = decodeURIComponent((request.url ?? '').slice('/bundle/'.length));
    const data = world.contents.get(path);
    if (path === 'busy') response.writeHead(503).end();
    else if (path === 'cut') {
      response.writeHead(200, { 'content-length': 100 }).write('short');
      setTimeout(() => response.destroy(), 10);
    } else if (data) response.end(data);
    else response.writeHead(404).end();
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/bundle`;
});

afterAll(() => new Promise((closed) => server.close(closed)));

async function refusal(promise: Promise<unknown>): Promise<ModelyardError> {
  const error: unknown = await promise.then(() => undefined, (reason: unknown) => reason);
  if (error instanceof ModelyardError) return error;
  throw new Error(`no ModelyardError but ${String(error)}`);
}

describe('a bundle at a URL', () => {
  it.each(['', '/'])('is loaded, whether or not the URL ends with a slash (%j)', async (end) => {
    const predictor = await load(`${base}${end}`, { kinds: [kindOf('a', [])], engines: ['a'] });
    expect('label' in (await predictor.predict(coloured(1, 2, 200)))).toBe(true);
  });

  it('has files whose names are escaped', async () => {
    expect(new TextDecoder().decode(await fromUrl(base).read('a b%c.bin'))).toBe('"odd"');
  });

  it.each([
    ['nothing', 'not-found', 'is not there'],
    ['busy', 'unavailable', 'answers with status 503'],
    ['cut', 'unavailable', 'was cut off'],
  ])('%s: %s', async (path, kind, expectation) => {
    const error = await refusal(fromUrl(base).read(path));
    expect([error.kind, error.expectation]).toEqual([kind, expectation]);
  });

  it('a server that is away is unavailable', async () => {
    const error = await refusal(load('http://127.0.0.1:9/bundle'));
    expect([error.kind, error.expectation]).toEqual(['unavailable', 'does not answer']);
  });

  it('what is no address is refused', async () => {
    expect((await refusal(load('::'))).message).toBe('::: is not an address; give the URL of a bundle');
  });
});
