/** What kind of thing went wrong, for a page that shows a way on. */
export type ErrorKind =
  /** What the caller gave cannot be used. */
  | 'input'
  /** A file that the bundle or the caller names does not exist. */
  | 'not-found'
  /** Bytes are not the ones that were sealed. */
  | 'integrity'
  /** The network, the browser or an engine does not answer. */
  | 'unavailable'
  /** The bundle is of a format that this library does not know. */
  | 'newer'
  /** No engine answers as the trained model does. */
  | 'refused';

const LONGEST = 400;

/** The text on one line, cut so that a message stays a line. */
export function shorten(text: unknown, longest: number = LONGEST): string {
  const line = String(text).split(/\s+/).join(' ').trim();
  return line.length <= longest ? line : `${line.slice(0, longest - 1)}…`;
}

/** An error on one line: subject, the expectation that was not met, and a remedy. The same three parts as in Python. */
export class ModelyardError extends Error {
  readonly kind: ErrorKind;
  readonly subject: string;
  readonly expectation: string;
  readonly remedy: string;

  constructor(kind: ErrorKind, subject: unknown, expectation: string, remedy: string, cause?: unknown) {
    // A list of refused engines is longer than other messages, and every figure in it counts.
    const [who, what, how] = [shorten(subject), shorten(expectation, 4 * LONGEST), shorten(remedy)];
    super(`${who}: ${what}; ${how}`, cause === undefined ? {} : { cause });
    this.name = 'ModelyardError';
    this.kind = kind;
    this.subject = who;
    this.expectation = what;
    this.remedy = how;
  }
}
