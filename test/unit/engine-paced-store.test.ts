// What a store behind a bandwidth limit charges for.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SECOND_MS } from '#shared/kernel/units.ts'
import { PacedStore } from '#shared/repository/core/paced-store.ts'
import { Pacer } from '#shared/repository/core/pacer.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { IdleClock } from '#test/support/idle-clock.ts'

const test = suite('a store behind a bandwidth limit')

const BYTES_PER_SECOND = 100

/** How long the next transfer waits after `work`, in seconds. */
async function secondsAfter(work: (store: PacedStore) => Promise<unknown>): Promise<number> {
  const clock = new IdleClock()
  const inner = new MemoryObjectStore()
  await inner.putIfAbsent('there', new Uint8Array(500))
  const pacer = new Pacer(clock, BYTES_PER_SECOND)
  await work(new PacedStore(inner, pacer))
  await pacer.turn(() => undefined, new AbortController().signal)
  return clock.monotonicMs() / SECOND_MS
}

test('a whole object costs its length, one that is not there nothing', async () => {
  assert.is(await secondsAfter((store) => store.get('there')), 5)
  assert.is(await secondsAfter((store) => store.get('not there')), 0)
})

test('a range costs what came, not what was asked for', async () => {
  assert.is(await secondsAfter((store) => store.getRange('there', 0, 200)), 2)
  assert.is(await secondsAfter((store) => store.getRange('there', 400, 200)), 1)
  assert.is(await secondsAfter((store) => store.getRange('not there', 0, 200)), 0)
})

test('an object that is written costs its length', async () => {
  assert.is(await secondsAfter((store) => store.putIfAbsent('new', new Uint8Array(300))), 3)
})

test.run()
