// Runs parts side by side, as many as the machine carries, the longest first.

import type { Part } from './parts.ts'

/** How long each part took when times were last recorded, in seconds. */
export type Times = Readonly<Record<string, number>>

/** The longest first, so that none of them is left over at the end; a part that was never timed may be the longest. */
export function longestFirst(parts: readonly Part[], times: Times): Part[] {
  const seconds = ({ name }: Part) => times[name] ?? Number.POSITIVE_INFINITY
  return [...parts].sort((a, b) => seconds(b) - seconds(a) || (a.name < b.name ? -1 : 1))
}

/** The first part that fits beside what runs; one that is larger than the whole machine runs alone. */
export function nextPart(waiting: readonly Part[], running: readonly Part[], capacity: number): Part | undefined {
  if (running.length === 0) return waiting[0]
  const free = capacity - running.reduce((sum, { load }) => sum + load, 0)
  return waiting.find(({ load }) => load <= free)
}

/** Results in the order in which parts end. `run` does not reject. */
export async function runPool<R>(
  parts: readonly Part[],
  capacity: number,
  run: (part: Part) => Promise<R>,
): Promise<R[]> {
  const waiting = [...parts]
  const running = new Map<Part, Promise<void>>()
  const results: R[] = []
  while (waiting.length > 0 || running.size > 0) {
    const next = nextPart(waiting, [...running.keys()], capacity)
    if (next === undefined) {
      await Promise.race(running.values())
      continue
    }
    waiting.splice(waiting.indexOf(next), 1)
    const ended = run(next).then((result) => {
      results.push(result)
      running.delete(next)
    })
    running.set(next, ended)
  }
  return results
}
