// Removes steps from a failed run while it fails in the same way. Choices have names and count for themselves, so a list without
// some of them can be played as another run. This is delta debugging, because fast-check's shrinking does not know these names.

import { Choices, type Step } from './choices.ts'
import { simulate } from './run.ts'

const MOST_TRIES = 150
const MOST_MS = 60_000

type Failed = { steps: readonly Step[]; failure: string }

export async function shrink(steps: readonly Step[], failure: string, runs = simulate): Promise<Failed> {
  const endMs = performance.now() + MOST_MS
  const wanted = kindOf(failure)
  let least: Failed = { steps, failure }
  let tries = 0
  for (let size = Math.ceil(steps.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < least.steps.length; ) {
      if (tries++ >= MOST_TRIES || performance.now() > endMs) return least
      const fewer = least.steps.toSpliced(at, size)
      const ended = await runs(Choices.ofSteps(fewer))
      if (ended.failure !== undefined && kindOf(ended.failure) === wanted)
        least = { steps: ended.steps, failure: ended.failure }
      else at += size
    }
  }
  return least
}

/** The same failure, with names and numbers taken out. */
function kindOf(failure: string): string {
  return (failure.split('\n', 1)[0] ?? '').replace(/[0-9a-f-]*\d[0-9a-f-]*/g, '').slice(0, 60)
}
