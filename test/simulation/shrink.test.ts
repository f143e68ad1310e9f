// Recorded lists are shrunk: steps that have nothing to do with the failure are removed.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Choices, Step } from './choices.ts'
import type { Ended } from './run.ts'
import { shrink } from './shrink.ts'

const STEPS: Step[] = Array.from({ length: 60 }, (_, n) => ['a', n + 1, 1] as const)

/** Fails when the 7th and the 40th choice are taken, and in another way when the 3rd is not. */
async function runOf(choices: Choices): Promise<Ended> {
  for (let n = 0; n < STEPS.length; n++) choices.below('a', 2)
  const has = (n: number) => choices.taken.some((step) => step[1] === n)
  const failure = has(7) && has(40) ? `snapshot ${choices.taken.length} is lost` : has(3) ? undefined : 'no end'
  return { failure, steps: choices.taken, deaths: 0, troubles: 0 }
}

test('only the steps that the failure needs are left', async () => {
  const { steps, failure } = await shrink(STEPS, 'snapshot 60 is lost', runOf)
  assert.equal(steps, [
    ['a', 7, 1],
    ['a', 40, 1],
  ])
  assert.is(failure, 'snapshot 2 is lost')
})

test('a failure is not exchanged for another one', async () => {
  const { steps } = await shrink(STEPS.slice(0, 10), 'never seen', runOf)
  assert.is(steps.length, 10)
})

test.run()
