import { memory } from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';

import { headScores, ModelyardError, type Sample, teach, type Tick } from '../src/index.js';
import { heldOutTakes } from '../src/teach/takes.js';

const WIDTH = 48;

/** Numbers around a class's own centre, the same each time. */
function recorded(label: string, take: string, count: number, centre: number, spread = 0.5): Sample[] {
  return Array.from({ length: count }, (_, row) => {
    const features = Float32Array.from({ length: WIDTH }, (_, at) => (at % 3 === centre ? 4 : 0) + spread * Math.sin(row * 7.3 + at * 1.7 + take.length));
    return { features, label, take };
  });
}

const classes = ['cup', 'box', 'none'];
const samples = classes.flatMap((label, centre) => ['a', 'bb', 'ccc'].flatMap((take) => recorded(label, `${label} ${take}`, 100, centre)));

describe('a head taught on features', () => {
  it('learns three classes of 300 samples, says how well on takes that it did not see, and leaves no tensor behind', async () => {
    await teach(samples, { epochs: 1 }); // the first one makes the backend
    const before = memory().numTensors;
    const ticks: Tick[] = [];
    const taught = await teach(samples, { onTick: (tick) => void ticks.push(tick) });
    expect(memory().numTensors).toBe(before);
    expect(taught.accuracy).toBe(1);
    expect(taught.heldOut).toEqual(['cup ccc', 'box ccc', 'none ccc']);
    expect(taught.heldOutSamples).toBe(300);
    expect(ticks.map(({ loss }) => loss)).toEqual(taught.losses);
    expect(taught.losses.at(-1)).toBeLessThan((taught.losses[0] as number) / 10);
    expect(taught.seconds).toBeLessThan(20);
    for (const { features, label } of samples) {
      const scores = headScores(taught.head, features);
      expect(taught.head.labels[scores.indexOf(Math.max(...scores))]).toBe(label);
      expect(scores.reduce((sum, score) => sum + score, 0)).toBeCloseTo(1, 6);
    }
  });

  it('is the same for the same samples and seed', async () => {
    const [first, second, other] = [await teach(samples, { epochs: 3 }), await teach(samples, { epochs: 3 }), await teach(samples, { epochs: 3, seed: 1 })];
    expect(second.head).toEqual(first.head);
    expect(other.head.kernel).not.toEqual(first.head.kernel);
  });

  it('says nothing good of classes that were named at random', async () => {
    const mixed = samples.map((sample, at) => ({ ...sample, label: classes[(at * 7919) % 3] as string, take: `${classes[(at * 7919) % 3]} ${sample.take}` }));
    expect((await teach(mixed)).accuracy).toBeLessThan(0.6);
  });

  it('bears features that never change, or are very large', async () => {
    const odd = samples.map((sample) => ({ ...sample, features: sample.features.map((value, at) => (at === 0 ? 7 : at === 1 ? 1e6 + value : value)) }));
    const { head, accuracy } = await teach(odd);
    expect(accuracy).toBeGreaterThan(0.9);
    expect([...head.kernel, ...head.bias].every(Number.isFinite)).toBe(true);
  });

  it('has no accuracy where each class has one take', async () => {
    const taught = await teach(classes.flatMap((label, centre) => recorded(label, label, 30, centre)));
    expect([taught.accuracy, taught.heldOut]).toEqual([undefined, []]);
  });

  it.each([
    [recorded('cup', 'a', 5, 0), 'shows 1 class'],
    [[], 'shows 0 class'],
    [[...recorded('cup', 'a', 5, 0), { features: new Float32Array(3), label: 'box', take: 'b' }], 'features of different lengths'],
  ])('refuses what nothing can be learned from', async (given, words) => {
    const error: unknown = await teach(given).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ModelyardError);
    expect(String(error)).toContain(words);
  });

  it('holds out whole takes, one of two and one of every four', () => {
    const takes = (label: string, count: number) => Array.from({ length: count }, (_, at) => ({ label, take: `${label}${at}` }));
    expect([...heldOutTakes([...takes('a', 1), ...takes('b', 2), ...takes('c', 5), ...takes('d', 9)])]).toEqual(['b1', 'c4', 'd7', 'd8']);
  });
});
