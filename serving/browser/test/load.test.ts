import { describe, expect, it } from 'vitest';

import { type EngineKind, load, ModelyardError, type Options } from '../src/index.js';
import { lightOf, coloured, type Events, IMAGES, kindOf, LABELS, sealed, SIZE } from './world.js';

const answers = IMAGES.map((image) => {
  const [red = 0, green = 0, blue = 0] = image.data;
  return [red, green, blue].map((value) => value / (red + green + blue));
});

function only(...kinds: EngineKind[]): Options {
  return { kinds, engines: kinds.map((kind) => kind.name) };
}

async function refusal(promise: Promise<unknown>): Promise<ModelyardError> {
  const error: unknown = await promise.then(() => undefined, (reason: unknown) => reason);
  if (error instanceof ModelyardError) return error;
  throw new Error(`no ModelyardError but ${String(error)}`);
}

describe('a whole bundle', () => {
  it('answers with labels, and says what it runs on', async () => {
    const source = await sealed();
    const predictor = await load(source, only(kindOf('a', [])));
    const answer = await predictor.predict(coloured(10, 200, 10));
    if (!('label' in answer)) throw new Error('a classifier answers with a label');
    expect(answer.label).toBe('green');
    expect(Object.keys(answer.probabilities)).toEqual(LABELS);
    expect(answer.milliseconds).toBeGreaterThanOrEqual(0);
    expect(predictor.info).toMatchObject({ model: 'colours', version: 3, digest: source.digest, task: 'classify', size: SIZE, engine: 'a', variant: 'onnx' });
  });

  it('gives the same answer for RGBA as for RGB', async () => {
    const predictor = await load(await sealed(), only(kindOf('a', [])));
    const rgb = coloured(90, 60, 30);
    const rgba = Uint8ClampedArray.from({ length: 480 }, (_, at) => (at % 4 === 3 ? 0 : ([90, 60, 30][at % 4] as number)));
    const [first, second] = [await predictor.predict(rgb), await predictor.predict({ ...rgb, data: rgba })];
    expect('probabilities' in first && first.probabilities).toEqual('probabilities' in second && second.probabilities);
  });

  it('reads no file that it does not use, and none twice', async () => {
    const source = await sealed({ 'model.int8.onnx': 'other' });
    await load(source, only(kindOf('a', []), kindOf('b', [])));
    expect(source.reads.sort()).toEqual(['bundle.json', 'labels.json', 'model.onnx', 'preprocess.json']);
  });

  it('runs one call after the other, and ends after the answers that are awaited', async () => {
    const events: Events = [];
    let running = 0;
    const slow: EngineKind = {
      ...kindOf('slow', events),
      async open() {
        return {
          name: 'slow',
          takes: 'tensor',
          gives: 'probabilities',
          async run(input) {
            running += 1;
            expect(running).toBe(1);
            await new Promise((done) => setTimeout(done, 2));
            running -= 1;
            return [{ data: Float32Array.from(lightOf(input)), shape: [1, 3] }];
          },
          dispose: () => void events.push('dispose'),
        };
      },
    };
    const predictor = await load(await sealed(), only(slow));
    const asked = IMAGES.map((image) => predictor.predict(image));
    await predictor.dispose();
    await predictor.dispose();
    expect((await Promise.all(asked)).map((answer) => 'label' in answer && answer.label)).toEqual(LABELS);
    expect(events).toEqual(['dispose']);
    expect((await refusal(predictor.predict(coloured(1, 1, 1)))).expectation).toBe('was disposed of');
  });
});

describe('bytes that are not those that were sealed', () => {
  it.each(['preprocess.json', 'labels.json', 'model.onnx'])('a changed %s is refused before it is used', async (name) => {
    const source = await sealed();
    source.contents.set(name, new TextEncoder().encode('{"size": 9}'));
    const events: Events = [];
    const error = await refusal(load(source, only(kindOf('a', events))));
    expect(error.kind).toBe('integrity');
    expect(error.message).toBe(`${name} in memory: is not the file that the bundle was sealed with; publish the bundle again`);
    expect(events).toEqual([]);
  });

  it.each(['bundle.json', 'labels.json', 'model.onnx'])('a missing %s is named', async (name) => {
    const source = await sealed();
    source.contents.delete(name);
    const error = await refusal(load(source, only(kindOf('a', []))));
    expect([error.kind, error.subject]).toEqual(['not-found', `${name} in memory`]);
  });

  it('another bundle than was expected is refused', async () => {
    const source = await sealed();
    await load(source, { ...only(kindOf('a', [])), digest: source.digest });
    const error = await refusal(load(source, { ...only(kindOf('a', [])), digest: 'f'.repeat(64) }));
    expect(error.expectation).toBe(`holds bundle ${source.digest.slice(0, 12)} and not ffffffffffff`);
  });

  it.each([
    [{}, { format: 2 }, 'has format 2, and 1 is known here'],
    [{}, { engine: 'x' }, 'has fields that are not known here (engine)'],
    [{ 'preprocess.json': { size: 8, resize: 'lanczos' } }, {}, "resize 'lanczos' is not supported here"],
    [{ 'preprocess.json': { size: 8, gamma: 2 } }, {}, "gamma '2' is not supported here"],
  ])('a newer format is named: %j %j', async (files, index, expectation) => {
    const error = await refusal(load(await sealed(files, index), only(kindOf('a', []))));
    expect([error.kind, error.expectation]).toEqual(['newer', expectation]);
  });

  it.each(['../secret', '/etc/passwd', 'a//b', 'a\\b'])('an index with the path %s is none', async (path) => {
    const error = await refusal(load(await sealed({ [path]: 'x' }), only(kindOf('a', []))));
    expect([error.kind, error.expectation]).toEqual(['integrity', "is not a bundle's index"]);
  });

  it('a page in the place of an index is refused in one line', async () => {
    const source = await sealed();
    source.contents.set('bundle.json', new TextEncoder().encode('<!doctype html>'));
    const error = await refusal(load(source, only(kindOf('a', []))));
    expect(error.message).toBe('bundle.json in memory: is not JSON; check the address, or publish the bundle again');
  });
});

describe('what does not fit together', () => {
  it('a page for detectors refuses a classifier', async () => {
    const error = await refusal(load(await sealed(), { ...only(kindOf('a', [])), task: 'detect' }));
    expect(error.message).toBe('colours/3: was trained to classify and not to detect; give the bundle of a model that detects');
  });

  it("a classifier's network in a detector's bundle is refused", async () => {
    const source = await sealed({ 'preprocess.json': { size: 8, resize: 'longest side, bilinear', crop: 'none, padded with grey 114' } });
    const events: Events = [];
    const error = await refusal(load(source, only(kindOf('a', events))));
    expect([error.kind, error.expectation]).toEqual(['integrity', "is a classifier, and preprocess.json is a detector's"]);
    expect(events).toEqual(['open a', 'dispose a']);
  });

  it('a network with other classes is refused', async () => {
    const error = await refusal(load(await sealed({ 'labels.json': ['red', 'green'] }), only(kindOf('a', []))));
    expect(error.expectation).toBe('does not fit its bundle: 3 numbers for 2 labels');
  });

  it('an unknown engine is answered with those that are known', async () => {
    const error = await refusal(load(await sealed(), { engines: ['abacus'] }));
    expect(error.remedy).toBe('choose of onnx-webgpu, litert-webgpu, tfjs-webgpu, onnx-wasm, litert-wasm, tfjs-webgl, tfjs-wasm');
  });

  it('a bundle without a variant for the engine says so', async () => {
    expect((await refusal(load(await sealed(), { engines: ['tfjs-wasm'] }))).kind).toBe('not-found');
  });

  it('what this machine lacks is unavailable', async () => {
    expect((await refusal(load(await sealed(), { engines: ['onnx-webgpu'] }))).kind).toBe('unavailable');
  });

  it.each([
    [{ data: new Uint8Array(5), width: 2, height: 2 }, '5 bytes are no RGB or RGBA picture of 2 x 2'],
    [{ data: new Uint8Array(0), width: 0, height: 9 }, '0 bytes are no RGB or RGBA picture of 0 x 9'],
    [{ data: new Uint8Array(3 * 101), width: 101, height: 1 }, 'is more than 100 times longer than it is wide'],
    [{ data: { length: 3e8 } as Uint8Array, width: 1e4, height: 1e4 }, 'has 100 megapixels, more than 64'],
  ])('what is no image is refused, and the next one answered: %#', async (image, expectation) => {
    const predictor = await load(await sealed(), only(kindOf('a', [])));
    const error = await refusal(predictor.predict(image));
    expect([error.kind, error.expectation]).toEqual(['input', expectation]);
    expect(await predictor.predict(coloured(1, 2, 3))).toBeDefined();
  });
});

describe('parity at load', () => {
  const check = { images: IMAGES, answers };

  it('takes the first engine that answers as the trained model, with its figures', async () => {
    const { info } = await load(await sealed(), { ...only(kindOf('a', []), kindOf('b', [])), check });
    expect(info).toMatchObject({ engine: 'a', refused: [], parity: { images: 3, agreement: 1, control: 0 } });
    expect(info.parity?.largest).toBeLessThan(1e-3);
  });

  it.each([
    ['classes', ([red = 0, green = 0, blue = 0]: number[]) => [green, blue, red], 'agreement 0.000 is below 0.99'],
    ['a little', ([red = 0, green = 0, blue = 0]: number[]) => [red, green - 0.02, blue + 0.02], 'largest difference 0.0200 is above 0.01'],
    ['not a number', () => [Number.NaN, Number.NaN, Number.NaN], 'largest difference 1.00 is above 0.01'],
  ])('refuses an engine with a fault (%s) with the figure, and takes the next one', async (_, fault, figure) => {
    const events: Events = [];
    const { info } = await load(await sealed(), { ...only(kindOf('a', events, fault), kindOf('b', events)), check });
    expect(info.engine).toBe('b');
    expect(info.refused).toHaveLength(1);
    expect(info.refused[0]).toMatch(/^a \(onnx\): /);
    expect(info.refused[0]).toContain(figure);
    expect(events).toEqual(['open a', 'dispose a', 'open b']);
  });

  it('an engine that cannot start or run is passed over', async () => {
    const events: Events = [];
    const broken = { ...kindOf('a', events), open: () => Promise.reject(new Error('no adapter')) };
    const { info } = await load(await sealed(), only(broken, kindOf('b', events)));
    expect([info.engine, info.refused]).toEqual(['b', ['a (onnx) cannot run it (no adapter)']]);
  });

  it('lists every engine with its figure where all are refused', async () => {
    const events: Events = [];
    const rotate = ([red = 0, green = 0, blue = 0]: number[]): number[] => [green, blue, red];
    const error = await refusal(load(await sealed(), { ...only(kindOf('a', events, rotate), kindOf('b', events, rotate)), check }));
    expect(error.kind).toBe('refused');
    expect(error.expectation).toMatch(/^no engine is left: a \(onnx\): agreement 0\.000 .*; b \(onnx\): agreement 0\.000 /);
    expect(events).toEqual(['open a', 'dispose a', 'open b', 'dispose b']);
  });

  it('limits of the caller hold in place of those of the variant', async () => {
    const dim = (row: number[]): number[] => row.map((value) => value * 0.95);
    const options = { ...only(kindOf('a', [], dim)), check: { ...check, limits: { agreement: 1, difference: 0.1 } } };
    expect((await load(await sealed(), options)).info.engine).toBe('a');
  });

  it('images of one class measure nothing', async () => {
    const same = { images: [IMAGES[0] as never, IMAGES[0] as never], answers: [answers[0] as never, answers[0] as never] };
    const error = await refusal(load(await sealed(), { ...only(kindOf('a', [])), check: same }));
    expect(error.expectation).toBe('the trained model says the same of every image');
  });
});
