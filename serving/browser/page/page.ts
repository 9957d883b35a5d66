/** What `model/about.json` says about the model that this page shows. Written by `modelyard web` and `modelyard space`. */
export interface About {
  readonly model: string;
  readonly version: number;
  readonly bundle: string;
  readonly task: 'classify' | 'detect';
  readonly labels: readonly string[];
  /** The stage that it was asked for by, such as production; empty for a version. */
  readonly stage: string;
  /** Whether check/ holds images with the trained model's answers. */
  readonly check: boolean;
}

/** An element of the page by its id, of a class that the caller knows. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element as T;
}

/** An element with a class and a text. Texts are set as texts: a label is never markup. */
export function element(tag: string, text = '', className = ''): HTMLElement {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = className;
  return made;
}
