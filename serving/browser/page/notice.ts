import { ModelyardError } from '../src/errors.js';
import { byId } from './page.js';

/** A way on, as a button. */
export interface Action {
  readonly text: string;
  readonly run: () => void;
}

/** Show what went wrong, and the way on. */
export function alertOf(error: unknown, action?: Action): void {
  const box = byId('alert');
  const [text, button] = [box.querySelector('p') as HTMLElement, box.querySelector('button') as HTMLButtonElement];
  text.textContent = sentence(error);
  button.hidden = !action;
  if (action) {
    button.textContent = action.text;
    button.onclick = () => {
      quiet();
      action.run();
    };
  }
  box.hidden = false;
}

/** Take the message away. */
export function quiet(): void {
  byId('alert').hidden = true;
}

/** The progress line, which a screen reader reads. */
export function progress(text: string): void {
  byId('progress').textContent = text;
}

function sentence(error: unknown): string {
  if (!(error instanceof ModelyardError)) return error instanceof Error ? error.message : String(error);
  const { subject, expectation, remedy } = error;
  return `${subject} ${expectation}. ${remedy[0]?.toUpperCase()}${remedy.slice(1)}.`;
}
