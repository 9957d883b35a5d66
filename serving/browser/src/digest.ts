import { ModelyardError } from './errors.js';

/**
 * SHA-256 in hex. Throws ModelyardError `unavailable` in a page without a secure context, where browsers offer no
 * cryptography: nothing may be used unchecked.
 */
export async function sha256(data: Uint8Array): Promise<string> {
  const subtle = globalThis.crypto?.subtle;
  if (!subtle) {
    throw new ModelyardError('unavailable', 'SHA-256', 'is not offered to this page', 'serve the page over https, or from localhost');
  }
  const digest = new Uint8Array(await subtle.digest('SHA-256', data as Uint8Array<ArrayBuffer>));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Python sorts text by code point, JavaScript by UTF-16 unit: they differ beyond the Basic Multilingual Plane. */
function byCodePoint(first: string, second: string): number {
  const [a, b] = [Array.from(first), Array.from(second)];
  for (let at = 0; at < Math.min(a.length, b.length); at += 1) {
    const difference = (a[at]?.codePointAt(0) ?? 0) - (b[at]?.codePointAt(0) ?? 0);
    if (difference) return difference;
  }
  return a.length - b.length;
}

/** The digest that stands for a manifest (path → SHA-256): of its one JSON text, as `registry/digests.py` writes it. */
export async function digestOf(manifest: Readonly<Record<string, string>>): Promise<string> {
  const entries = Object.entries(manifest).sort(([first], [second]) => byCodePoint(first, second));
  const text = entries.map(([path, digest]) => `${JSON.stringify(path)}:${JSON.stringify(digest)}`).join(',');
  return sha256(new TextEncoder().encode(`{${text}}`));
}
