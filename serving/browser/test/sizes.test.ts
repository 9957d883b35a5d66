import sharp from 'sharp';
import { describe, expect, it } from 'vitest';

import { sizeIn } from '../src/sizes.js';

const WIDE = { width: 37, height: 21 };

function made(kind: string): Promise<Buffer> {
  const image = sharp({ create: { ...WIDE, channels: 3, background: { r: 9, g: 99, b: 199 } } });
  if (kind === 'webp lossless') return image.webp({ lossless: true }).toBuffer();
  if (kind === 'webp with alpha') return image.ensureAlpha(0.5).webp().toBuffer();
  if (kind === 'progressive jpeg') return image.withMetadata({ density: 300 }).jpeg({ progressive: true }).toBuffer();
  return image.toFormat(kind as 'png').toBuffer();
}

describe("an image's size from its header", () => {
  const kinds = ['png', 'jpeg', 'progressive jpeg', 'gif', 'webp', 'webp lossless', 'webp with alpha'];
  it.each(kinds)('%s', async (kind) => {
    expect(sizeIn(await made(kind))).toEqual(WIDE);
  });

  it('a bitmap, also one from top to bottom', () => {
    const bitmap = new DataView(new ArrayBuffer(30));
    bitmap.setUint16(0, 0x424d);
    bitmap.setInt32(18, 37, true);
    bitmap.setInt32(22, -21, true);
    expect(sizeIn(new Uint8Array(bitmap.buffer))).toEqual(WIDE);
  });

  it('never throws and never hangs, however the file ends or is damaged', async () => {
    for (const kind of kinds) {
      const whole = await made(kind);
      for (let end = 0; end < Math.min(whole.length, 400); end += 1) expect([undefined, 'object']).toContain(sizeIn(whole.subarray(0, end)) && 'object');
      for (let at = 0; at < Math.min(whole.length, 400); at += 1) {
        const damaged = Uint8Array.from(whole);
        damaged[at] = (damaged[at] as number) ^ 0xff;
        sizeIn(damaged);
      }
    }
    expect(sizeIn(new Uint8Array(0))).toBeUndefined();
    expect(sizeIn(new Uint8Array([0xff, 0xd8, 0xff, 0xe0, 0, 0, 0, 0]))).toBeUndefined();
  });
});
