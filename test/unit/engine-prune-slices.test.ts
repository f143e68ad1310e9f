// Prune of a repository whose survey does not fit into a slice: what a slice has found is kept, whoever dies.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { unreachableObjects } from '#shared/engine/prune.ts'
import { longRepository } from '#test/support/long-repository.ts'
import { prune } from '#test/support/prune-world.ts'
import { CallClock, TickingStore } from '#test/support/ticking-store.ts'

const test = suite('engine: prune in slices')

const SLICE_CALLS = 70

test('a prune whose survey takes ten slices ends', async () => {
  const { store, repository } = await longRepository()
  const doomed = await unreachableObjects(repository)
  const clock = new CallClock()
  const ticking = { ...repository, store: new TickingStore(store, () => clock.tick()) }
  const states: string[] = []
  for (let slice = 0; slice < 60 && states.at(-1) !== 'done'; slice++)
    states.push((await prune(ticking, { clock, sliceMs: SLICE_CALLS })).state)
  console.log(states.join(' '), clock.calls, doomed.length)
  assert.is(states.at(-1), 'done')
  assert.equal(await unreachableObjects(repository), [])
})
test.run()
