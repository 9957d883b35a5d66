/** Which takes are held out, so that accuracy is measured on frames that look like none that were trained on. */

interface Recorded {
  readonly label: string;
  readonly take: string;
}

const SHARE = 4;

/** Of each class's takes the last of every four, and at least one where there are two; none of a single take. */
export function heldOutTakes(samples: readonly Recorded[]): Set<string> {
  const takes = new Map<string, Set<string>>();
  for (const { label, take } of samples) takes.set(label, (takes.get(label) ?? new Set()).add(take));
  const held = new Set<string>();
  for (const ofClass of takes.values()) {
    const names = [...ofClass];
    const count = names.length < 2 ? 0 : Math.max(1, Math.trunc(names.length / SHARE));
    for (const name of names.slice(names.length - count)) held.add(name);
  }
  return held;
}
