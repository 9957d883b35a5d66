/** An image's size from its header, so that nobody decodes a hundred megapixels to learn that they are too many. */

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** The size in the first bytes of a PNG, JPEG, GIF, WebP or BMP file; undefined for others, and where the header ends early. */
export function sizeIn(bytes: Uint8Array): Size | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    if (starts(bytes, [0x89, 0x50, 0x4e, 0x47])) return { width: view.getUint32(16), height: view.getUint32(20) };
    if (starts(bytes, [0xff, 0xd8])) return ofJpeg(view);
    if (starts(bytes, [0x47, 0x49, 0x46])) return { width: view.getUint16(6, true), height: view.getUint16(8, true) };
    if (starts(bytes, [0x42, 0x4d])) return { width: Math.abs(view.getInt32(18, true)), height: Math.abs(view.getInt32(22, true)) };
    if (starts(bytes, [0x52, 0x49, 0x46, 0x46])) return ofWebp(view);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // the header ends early: the decoder says so
  }
  return undefined;
}

function starts(bytes: Uint8Array, mark: readonly number[]): boolean {
  return mark.every((byte, at) => bytes[at] === byte);
}

/** The frame header is behind the other segments, each with its length; 0xC4, 0xC8 and 0xCC are none. */
function ofJpeg(view: DataView): Size | undefined {
  for (let at = 2; ; at += 2 + view.getUint16(at + 2)) {
    while (view.getUint8(at) === 0xff && view.getUint8(at + 1) === 0xff) at += 1;
    if (view.getUint8(at) !== 0xff) return undefined;
    const marker = view.getUint8(at + 1);
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) return { height: view.getUint16(at + 5), width: view.getUint16(at + 7) };
  }
}

function ofWebp(view: DataView): Size | undefined {
  const three = (at: number): number => view.getUint16(at, true) + (view.getUint8(at + 2) << 16);
  const kind = String.fromCharCode(...[12, 13, 14, 15].map((at) => view.getUint8(at)));
  if (kind === 'VP8X') return { width: 1 + three(24), height: 1 + three(27) };
  if (kind === 'VP8 ') return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
  if (kind !== 'VP8L') return undefined;
  const bits = view.getUint32(21, true);
  return { width: 1 + (bits & 0x3fff), height: 1 + ((bits >>> 14) & 0x3fff) };
}
